-- Applies an app delta that a session holds (Redis Cluster: the app's state is
-- in another slot), once, and never over a newer value.
--
-- KEYS  1 app's state
-- ARGV  1 id of the delta, 2 its time, 3 "1" if its writer is presumed dead,
--       then pairs of NAME, VALUE
-- Fields of the hash: s:NAME the value, t:NAME the time of its delta, x:ID the
-- time of a delta that was applied for a dead writer.
local state, id, time = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.call('HEXISTS', state, 'x:' .. id) == 1 then return 0 end
local rescue = ARGV[3] == '1'
for at = 4, #ARGV, 2 do
  local name, value = ARGV[at], ARGV[at + 1]
  local held = rescue and tonumber(redis.call('HGET', state, 't:' .. name) or '')
  if not held or held <= time then
    redis.call('HSET', state, 's:' .. name, value, 't:' .. name, ARGV[2])
  end
end
if rescue then redis.call('HSET', state, 'x:' .. id, ARGV[2]) end
return 1
