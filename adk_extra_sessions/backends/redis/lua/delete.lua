-- Deletes a session and its events.
--
-- KEYS  1 session, 2 its events, 3 index of the user's sessions, [4 the app's users by expiry, 5 the same by name]
-- ARGV  1 the user's name in the app's index, 2 the revision that the session must have, "" for any
-- Returns {1 if the user has no session left, else 0, changes of the app's state that
--         the session still holds, as a flat array of FIELD, VALUE, 1 if there was such a session}.
--         If it holds changes, nothing is deleted: they must be applied first.
local session, events, index, by_expiry, by_name = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local there = redis.call('EXISTS', session)
if ARGV[2] ~= '' and redis.call('HGET', session, FIELD.revision) ~= ARGV[2] then return {0, {}, 0} end
local pending = by_expiry and {} or pending_changes(session)
if #pending > 0 then return {0, pending, 0} end
-- A key of a foreign type or a missing right fails here.
redis.call('ZREM', index, NOBODY)
for _, users in ipairs({by_expiry, by_name}) do redis.call('ZREM', users, NOBODY) end
redis.call('UNLINK', session, events)
redis.call('ZREM', index, name_of(session, index))
local gone = redis.call('EXISTS', index) == 0
if by_expiry and gone then remove_user(by_expiry, by_name, ARGV[1]) end
return {gone and 1 or 0, pending, there}
