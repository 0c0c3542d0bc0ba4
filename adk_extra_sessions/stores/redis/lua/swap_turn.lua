-- Replaces the text of a turn on a session, if it is still the one that was read.
--
-- KEYS  1 turn
-- ARGV  1 the text that was read, 2 the new one (each may be empty: no key),
--       3 milliseconds after which the key goes if nobody touches it
-- Returns 1, or 0 if another was quicker.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
