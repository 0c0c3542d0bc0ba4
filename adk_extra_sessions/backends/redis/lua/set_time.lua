-- Sets a session's time, unless it has been written to since.
--
-- KEYS  1 session hash, 2 index of the user's sessions
-- ARGV  1 its revision, 2 the time
if redis.call('HGET', KEYS[1], 'r') == ARGV[1] then
  local _, name = split_key(KEYS[1])
  redis.call('ZADD', KEYS[2], 'XX', ARGV[2], name)
  redis.call('HSET', KEYS[1], 't', ARGV[2])
end
return 1
