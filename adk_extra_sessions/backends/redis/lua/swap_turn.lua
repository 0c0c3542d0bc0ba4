-- Replaces the text of a turn on a session, if it is still the one that was read.
--
-- KEYS  1 turn, a hash with one field
-- ARGV  1 the text that was read, 2 the new one (each may be empty: no key),
--       3 milliseconds after which the key goes if nobody touches it
-- Returns 1, or 0 if another was quicker.
if (redis.call('HGET', KEYS[1], FIELD.queue) or '') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('HSET', KEYS[1], FIELD.queue, ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
