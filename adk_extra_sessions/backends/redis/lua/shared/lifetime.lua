-- The time to live in ms of a session that is written to now, "0" for none: its own, if it has one, or else `ttl`.
local function ttl_of(own, ttl)
  if not own or own == '' then return ttl end
  local at = string.match(own, '^until:(%d+)$')
  return at and string.format('%.0f', math.max(at - now(), 1)) or own
end

-- When a key expires, in ms since the epoch; -1 for never. Redis 6.2 has no PEXPIRETIME.
local function expires_at(key)
  local at = redis.pcall('PEXPIRETIME', key)
  if type(at) == 'number' then return at end
  local left = redis.call('PTTL', key)
  return left < 0 and left or now() + left
end
