-- Stores an outline of a session's history, if the session still has the last event in it.
--
-- KEYS  1 session, 2 its events
-- ARGV  1 revision with which the session was created, 2 position and 3 digest of that event, 4 field, 5 outline
local head = redis.call('HMGET', KEYS[1], FIELD.start_revision, FIELD.first_position)
if head[1] ~= ARGV[1] then return 0 end
local header = redis.call('LINDEX', KEYS[2], 2 * (ARGV[2] - head[2]))
if not header or string.match(header, ' (%x+)') ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[4], ARGV[5])
return 1
