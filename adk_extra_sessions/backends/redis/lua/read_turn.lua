-- Reads the turn on a session, and the server's time.
--
-- KEYS  1 turn, a hash with one field
-- Returns {its text or an empty one, seconds, microseconds}.
local now = redis.call('TIME')
return {redis.call('HGET', KEYS[1], FIELD.queue) or '', now[1], now[2]}
