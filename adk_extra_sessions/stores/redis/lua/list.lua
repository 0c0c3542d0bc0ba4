-- Reads sessions without their events, and drops those that have expired from their index.
--
-- KEYS  1 index of a user's sessions, 2... session hashes
-- ARGV  the sessions' ids, in the order of their keys
-- Returns each session's hash as a flat array, empty where it has expired, and
--         one without a version where a key of a foreign type is in its place.
local found = {}
for at = 2, #KEYS do
  local session = redis.pcall('HGETALL', KEYS[at])
  if session.err then session = {'v', ''} end
  if #session == 0 then redis.call('SREM', KEYS[1], ARGV[at - 1]) end
  found[at - 1] = session
end
return found
