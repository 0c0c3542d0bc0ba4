-- Sets a session's time, unless it has been written to since.
--
-- KEYS  1 session hash
-- ARGV  1 its revision, 2 the time
if redis.call('HGET', KEYS[1], 'r') == ARGV[1] then redis.call('HSET', KEYS[1], 't', ARGV[2]) end
return 1
