-- Shared by all scripts; stands above each of them.
--
-- A full server, or one that refuses writes for another reason, stops a script
-- at its first write, and none that comes after it; a right that a user lacks
-- stops it wherever the command is. So each script first tries what it will do
-- on something that stays as it is, then writes.

-- Milliseconds for which a user stays in an app's index without a session:
-- longer than any creation takes.
local GRACE = 600000

-- When the sessions of a user expire who has one that never does.
local NEVER = 9007199254740992

-- A name that nothing has in an index, since names are percent-encoded there.
local NOBODY = '%'

-- Writes the pairs of FIELD, VALUE that begin after the count at ARGV[at];
-- returns the place after them. HSET takes at most some thousand arguments.
local function write_pairs(key, at)
  local last = at + 2 * tonumber(ARGV[at])
  for from = at + 1, last, 1000 do
    redis.call('HSET', key, unpack(ARGV, from, math.min(from + 999, last)))
  end
  return last + 1
end

-- Splits the key of a session's hash into what the keys of all the user's
-- sessions begin with, and the session's name in the user's index.
local function split_key(session)
  return string.match(session, '^(.*}:s:)(.*)$')
end

-- Has a key expire after `ttl` ms, or never where that is "0".
local function set_expiry(key, ttl)
  if ttl ~= '0' then
    redis.call('PEXPIRE', key, ttl)
  elseif redis.call('PTTL', key) >= 0 then
    redis.call('PERSIST', key)
  end
end

-- Has a user's index live as long as a session just written, unless another one lives longer.
local function set_index_expiry(index, ttl)
  if ttl == '0' then return set_expiry(index, ttl) end
  local left = redis.call('PTTL', index)
  if left == -1 and redis.call('ZCARD', index) > 1 then return end  -- some other one may never expire
  if left < tonumber(ttl) then redis.call('PEXPIRE', index, ttl) end
end

-- The server's time in milliseconds.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Removes from a user's index some sessions that have expired: among the
-- oldest, and among some others, in case the oldest never expire.
local function drop_expired(index, prefix, time)
  for _, from in ipairs({0, time % math.max(redis.call('ZCARD', index), 1)}) do
    for _, name in ipairs(redis.call('ZRANGE', index, from, from + 4)) do
      if redis.call('EXISTS', prefix .. name) == 0 then redis.call('ZREM', index, name) end
    end
  end
end

-- Enters a user into an app's index until the time when the user's sessions
-- will have expired, and at least for a while in which one is being created.
local function enter_user(users, user, ttl, time)
  local until_then = ttl == '0' and NEVER or time + math.max(tonumber(ttl), GRACE)
  local before = tonumber(redis.call('ZSCORE', users, user) or '')
  if not before or before < until_then then
    redis.call('ZADD', users, string.format('%.0f', until_then), user)
  end
end

-- Some users whose time has passed, if there are enough of them to look after: {USER, TIME, ...}.
local function overdue_users(users, time)
  local found = redis.call('ZRANGEBYSCORE', users, '-inf', string.format('(%.0f', time), 'WITHSCORES', 'LIMIT', 0, 10)
  return #found == 20 and found or {}
end
