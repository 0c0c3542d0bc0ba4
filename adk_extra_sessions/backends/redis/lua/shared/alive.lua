-- Renews the expiry of a session that is read: it stays for its own ttl, or else the given one, from now on, if it
-- would expire earlier. Does nothing if that is "0".
local function stay_alive(given)
  local ttl = ttl_of(given ~= '0' and redis.call('HGET', KEYS[1], FIELD.ttl), given)
  if ttl == '0' then return end
  for at = 1, 3 do
    local left = redis.call('PTTL', KEYS[at])
    -- A server that refuses writes can still be read.
    if left >= 0 and left < tonumber(ttl) then redis.pcall('PEXPIRE', KEYS[at], ttl) end
  end
end
