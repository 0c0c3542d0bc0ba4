-- Applies a change of the app's state that a session holds (Redis Cluster: the app's state is
-- in another slot). May be run any number of times; see backends/shared_deltas.py.
--
-- KEYS  1 app's state
-- ARGV  1 ticket of the change, 2 "1" to make the state if there is none, then pairs of NAME, VALUE
-- Returns 0 if there is none and it was not made, otherwise 1.
local state, ticket = KEYS[1], tonumber(ARGV[1])
if ARGV[2] ~= '1' and redis.call('EXISTS', state) == 0 then return 0 end
local function number(field)
  return tonumber(redis.call('HGET', state, field) or '') or 0
end
for at = 3, #ARGV, 2 do
  local name, value = ARGV[at], ARGV[at + 1]
  if number(FIELD.ticket .. name) < ticket then
    redis.call('HSET', state, FIELD.state .. name, value, FIELD.ticket .. name, ARGV[1])
  end
end
-- A failover may have lost the counter's last steps.
if number(FIELD.last_ticket) < ticket then redis.call('HSET', state, FIELD.last_ticket, ARGV[1]) end
return 1
