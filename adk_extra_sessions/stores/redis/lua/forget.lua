-- Drops index entries of sessions that have expired, unless they are back.
--
-- KEYS  1 index of the user's sessions, 2... session hashes
-- ARGV  the sessions' ids, in the order of their keys
local gone = 0
for at = 2, #KEYS do
  if redis.call('EXISTS', KEYS[at]) == 0 then
    gone = gone + redis.call('SREM', KEYS[1], ARGV[at - 1])
  end
end
return gone
