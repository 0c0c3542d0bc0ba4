-- Applies an app delta that a session holds (Redis Cluster: the app's state is
-- in another slot). May be run any number of times; see backends/shared_deltas.py.
--
-- KEYS  1 app's state
-- ARGV  1 ticket of the delta, then pairs of NAME, VALUE
-- Fields of the hash: s:NAME the value, t:NAME the ticket of its delta, n the last ticket taken.
local state, ticket = KEYS[1], tonumber(ARGV[1])
local function number(field)
  return tonumber(redis.call('HGET', state, field) or '') or 0
end
for at = 2, #ARGV, 2 do
  local name, value = ARGV[at], ARGV[at + 1]
  if number('t:' .. name) < ticket then
    redis.call('HSET', state, 's:' .. name, value, 't:' .. name, ARGV[1])
  end
end
-- A failover may have lost the counter's last steps.
if number('n') < ticket then redis.call('HSET', state, 'n', ARGV[1]) end
return 1
