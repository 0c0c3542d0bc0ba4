-- Deletes a session and its events.
--
-- KEYS  1 session hash, 2 event list, 3 index of the user's sessions, [4 index of the app's users]
-- ARGV  1 session id, 2 user id
-- Returns the app deltas that the session still holds, as a flat array of
--         FIELD, VALUE. If there are any, nothing is deleted: they must be
--         applied first.
redis.call('SCARD', KEYS[3])  -- a key of a foreign type fails here, before the first write
if KEYS[4] then redis.call('SCARD', KEYS[4]) end
local pending = {}
if not KEYS[4] then
  local session = redis.pcall('HGETALL', KEYS[1])  -- a foreign key is deleted, too
  for at = 1, #session, 2 do
    if string.sub(session[at], 1, 2) == 'p:' then
      pending[#pending + 1] = session[at]
      pending[#pending + 1] = session[at + 1]
    end
  end
end
if #pending == 0 then
  redis.call('UNLINK', KEYS[1], KEYS[2])
  redis.call('SREM', KEYS[3], ARGV[1])
  if KEYS[4] and redis.call('EXISTS', KEYS[3]) == 0 then redis.call('SREM', KEYS[4], ARGV[2]) end
end
return pending
