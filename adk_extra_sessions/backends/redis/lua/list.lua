-- Reads sessions without their events, and drops those that have expired from their index.
--
-- KEYS  1 index of a user's sessions, 2... sessions
-- Returns each session's hash as a flat array, empty where it has expired, and
--         one of an unknown format where a key of a foreign type is in its place.
local index, found = KEYS[1], {}
for at = 2, #KEYS do
  local session = redis.pcall('HGETALL', KEYS[at])
  if session.err then session = {FIELD.format, ''} end
  if #session == 0 then
    redis.pcall('ZREM', index, name_of(KEYS[at], index))  -- a server that refuses writes can be read all the same
  end
  found[at - 1] = session
end
return found
