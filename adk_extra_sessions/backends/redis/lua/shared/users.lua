-- Milliseconds for which a user stays in an app's index without a session:
-- longer than any creation takes.
local GRACE = 600000

-- The expiry of the sessions of a user who has one that never expires.
local NEVER = 9007199254740992

-- Enters a user into an app's indexes until the time when the user's sessions
-- will have expired, and at least for a while in which one is being created.
local function enter_user(by_expiry, by_name, user, ttl, time)
  local until_then = ttl == '0' and NEVER or time + math.max(tonumber(ttl), GRACE)
  local before = tonumber(redis.call('ZSCORE', by_expiry, user) or '')
  if not before or before < until_then then
    redis.call('ZADD', by_expiry, string.format('%.0f', until_then), user)
  end
  redis.call('ZADD', by_name, 0, user)
end

-- Removes a user from an app's indexes.
local function remove_user(by_expiry, by_name, user)
  redis.call('ZREM', by_expiry, user)
  redis.call('ZREM', by_name, user)
end

-- Some users whose time has passed, if there are enough of them to look after: {USER, TIME, ...}.
local function overdue_users(by_expiry, time)
  local found = redis.call('ZRANGEBYSCORE', by_expiry, '-inf', string.format('(%.0f', time), 'WITHSCORES', 'LIMIT', 0, 10)
  return #found == 20 and found or {}
end
