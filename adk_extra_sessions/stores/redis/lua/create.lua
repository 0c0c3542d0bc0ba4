-- Creates a session, and applies its state to the user and the app.
--
-- KEYS  1 session hash, 2 event list, 3 index of the user's sessions,
--       4 user's state, [5 app's state, 6 index of the app's users]
-- ARGV  1 nonce, 2 time to live in ms (0 for none), 3 session id, 4 user id,
--       then three times (session, user, app) a count followed by that many
--       pairs of FIELD, VALUE
-- Returns {1, user's state, app's state} as flat arrays, or {0} if the session exists.
--
-- The same nonce again is the same request again, and succeeds without a change.
local session = KEYS[1]
if redis.call('EXISTS', session) == 0 then
  -- A key of a foreign type fails here, before the first write.
  redis.call('HLEN', KEYS[4])
  redis.call('SCARD', KEYS[3])
  if KEYS[5] then redis.call('HLEN', KEYS[5]) end
  if KEYS[6] then redis.call('SCARD', KEYS[6]) end
  redis.call('DEL', KEYS[2])
  local at = write_pairs(session, 5)
  at = write_pairs(KEYS[4], at)
  at = write_pairs(KEYS[5], at)
  redis.call('SADD', KEYS[3], ARGV[3])
  if KEYS[6] then redis.call('SADD', KEYS[6], ARGV[4]) end
  if ARGV[2] ~= '0' then redis.call('PEXPIRE', session, ARGV[2]) end
elseif redis.call('HGET', session, 'n') ~= ARGV[1] then
  return {0}
else
  redis.call('HSET', session, 'n', ARGV[1])  -- for WAIT, which looks at its connection's own last write
end
return {1, redis.call('HGETALL', KEYS[4]), KEYS[5] and redis.call('HGETALL', KEYS[5]) or {}}
