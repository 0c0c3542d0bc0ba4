-- Creates a session, and applies its state to the user and the app.
--
-- KEYS  1 session, 2 its events, 3 index of the user's sessions, 4 user's state,
--       [5 app's state, 6 the app's users by expiry, 7 the same by name]
-- ARGV  1 nonce, 2 time to live in ms (0 for none) or until:MS since the epoch, 3 time of creation,
--       4 the user's name in the app's index, then three times (session, user,
--       app) a count followed by that many pairs of FIELD, VALUE
-- Returns {1, user's state, app's state, users to look after}, states as flat
--         arrays, or {0} if the session exists.
--
-- The same nonce again is the same request again, and succeeds without a change.
local session, events, index, by_expiry, by_name = KEYS[1], KEYS[2], KEYS[3], KEYS[6], KEYS[7]
local time, overdue, ttl = now(), {}, ttl_of(ARGV[2], '0')

-- Removes from the user's index some sessions that have expired: among the
-- oldest, and among some others, in case the oldest never expire.
local function drop_expired()
  local prefix = string.sub(session, 1, #index + 1)
  for _, from in ipairs({0, time % math.max(redis.call('ZCARD', index), 1)}) do
    for _, name in ipairs(redis.call('ZRANGE', index, from, from + 4)) do
      if redis.call('EXISTS', prefix .. name) == 0 then redis.call('ZREM', index, name) end
    end
  end
end

if redis.call('EXISTS', session) == 0 then
  -- A key of a foreign type fails here.
  redis.call('HLEN', KEYS[4])
  if KEYS[5] then redis.call('HLEN', KEYS[5]) end
  if by_expiry then
    redis.call('ZSCORE', by_name, NOBODY)
    overdue = overdue_users(by_expiry, time)
  end
  -- A full server or a missing right fails here; see append.lua.
  local name = name_of(session, index)
  redis.call('ZADD', index, 'XX', ARGV[3], name)
  redis.call('ZREM', index, NOBODY)
  redis.call('PTTL', index)
  if ttl == '0' then set_expiry(index, '0') end
  set_expiry(session, ttl)
  drop_expired()
  redis.call('DEL', events)
  local at = write_pairs(session, 6, ARGV[5])
  at = write_pairs(KEYS[4], at + 1, ARGV[at])
  write_pairs(KEYS[5], at + 1, ARGV[at])
  set_expiry(session, ttl)
  redis.call('ZADD', index, ARGV[3], name)
  set_index_expiry(index, ttl)
  if by_expiry then enter_user(by_expiry, by_name, ARGV[4], ttl, time) end
elseif redis.call('HGET', session, FIELD.nonce) ~= ARGV[1] then
  return {0}
else
  redis.call('HSET', session, FIELD.nonce, ARGV[1])  -- for WAIT, which looks at its connection's own last write
end
return {1, redis.call('HGETALL', KEYS[4]), KEYS[5] and redis.call('HGETALL', KEYS[5]) or {}, overdue}
