-- Removes changes of the app's state that have been applied from a session.
--
-- KEYS  1 session
-- ARGV  their ids
-- Returns those that the session still holds, as a flat array of FIELD, VALUE.
local session = KEYS[1]
for _, id in ipairs(ARGV) do redis.call('HDEL', session, FIELD.pending .. id) end
local pending = pending_changes(session)
if #pending == 0 then redis.call('HDEL', session, FIELD.has_pending) end
return pending
