-- Reads a session with a range of its events and the state it shares.
--
-- KEYS  1 session hash, 2 event list, 3 index of the user's sessions, 4 user's state, [5 app's state]
-- ARGV  1 first and 2 last event, as of LRANGE; 3 time to live in ms to renew, 0 for none
-- Returns {session, events, number of all events, user's state, app's state},
--         hashes as flat arrays, or {} if there is no session.
local session = redis.call('HGETALL', KEYS[1])
if #session == 0 then return {} end
if ARGV[3] ~= '0' then
  -- A server that refuses writes can be read all the same.
  redis.pcall('PEXPIRE', KEYS[1], ARGV[3])
  redis.pcall('PEXPIRE', KEYS[2], ARGV[3])
  local left = redis.call('PTTL', KEYS[3])
  if left >= 0 and left < tonumber(ARGV[3]) then redis.pcall('PEXPIRE', KEYS[3], ARGV[3]) end
end
return {
  session,
  redis.call('LRANGE', KEYS[2], ARGV[1], ARGV[2]),
  redis.call('LLEN', KEYS[2]),
  redis.call('HGETALL', KEYS[4]),
  KEYS[5] and redis.call('HGETALL', KEYS[5]) or {},
}
