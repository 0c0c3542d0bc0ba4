-- Reads the turn on a session, and the server's time.
--
-- KEYS  1 turn
-- Returns {its text or an empty one, seconds, microseconds}.
local now = redis.call('TIME')
return {redis.call('GET', KEYS[1]) or '', now[1], now[2]}
