-- Reads a range of a session's events.
--
-- KEYS  1 session hash, 2 event list
-- ARGV  1 first and 2 last event, as of LRANGE
-- Returns {base of the session, events}: the base tells whose events they are.
return {redis.call('HGET', KEYS[1], 'b'), redis.call('LRANGE', KEYS[2], ARGV[1], ARGV[2])}
