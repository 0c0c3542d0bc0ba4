-- Reads a session with a range of its events and the state it shares.
--
-- KEYS  1 session hash, 2 event list, 3 index of the user's sessions, 4 user's state, [5 app's state]
-- ARGV  1 first and 2 last event, as of LRANGE; 3 time to live in ms, for which the session stays
--       from now on if it expires and would do so earlier; 0 to leave that as it is
-- Returns {session, events, number of all events, user's state, app's state},
--         hashes as flat arrays, or {} if there is no session.
local session = redis.call('HGETALL', KEYS[1])
if #session == 0 then return {} end
if ARGV[3] ~= '0' then
  -- A server that refuses writes can be read all the same.
  for at = 1, 3 do
    local left = redis.call('PTTL', KEYS[at])
    if left >= 0 and left < tonumber(ARGV[3]) then redis.pcall('PEXPIRE', KEYS[at], ARGV[3]) end
  end
end
return {
  session,
  redis.call('LRANGE', KEYS[2], ARGV[1], ARGV[2]),
  redis.call('LLEN', KEYS[2]),
  redis.call('HGETALL', KEYS[4]),
  KEYS[5] and redis.call('HGETALL', KEYS[5]) or {},
}
