-- Deletes a session and its events.
--
-- KEYS  1 session, 2 its events, 3 index of the user's sessions, [4 index of the app's users]
-- ARGV  1 the user's name in the app's index
-- Returns {1 if the user has no session left, else 0, changes of the app's state that
--         the session still holds, as a flat array of FIELD, VALUE}. If there are
--         any, nothing is deleted: they must be applied first.
local session, events, index, users = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local pending = users and {} or pending_changes(session)
if #pending > 0 then return {0, pending} end
-- A key of a foreign type fails here, and a missing right.
redis.call('ZREM', index, NOBODY)
if users then redis.call('ZREM', users, NOBODY) end
redis.call('UNLINK', session, events)
redis.call('ZREM', index, name_of(session, index))
local gone = redis.call('EXISTS', index) == 0
if users and gone then redis.call('ZREM', users, ARGV[1]) end
return {gone and 1 or 0, pending}
