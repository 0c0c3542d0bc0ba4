-- Sets the time of a session's last update, unless it has been written to since.
--
-- KEYS  1 session, 2 index of the user's sessions
-- ARGV  1 its revision, 2 the time
local session, index = KEYS[1], KEYS[2]
if redis.call('HGET', session, FIELD.revision) == ARGV[1] then
  redis.call('ZADD', index, 'XX', ARGV[2], name_of(session, index))
  redis.call('HSET', session, FIELD.last_update_time, ARGV[2])
end
return 1
