-- Reads sessions without their events, and drops those that have expired from their index.
--
-- KEYS  1 index of a user's sessions, 2... session hashes
-- Returns each session's hash as a flat array, empty where it has expired, and
--         one without a version where a key of a foreign type is in its place.
local found = {}
for at = 2, #KEYS do
  local session = redis.pcall('HGETALL', KEYS[at])
  if session.err then session = {'v', ''} end
  if #session == 0 then
    local _, name = split_key(KEYS[at])
    redis.pcall('ZREM', KEYS[1], name)  -- a server that refuses writes can be read all the same
  end
  found[at - 1] = session
end
return found
