-- Makes a key expire after `ttl` ms, or never if that is "0".
local function set_expiry(key, ttl)
  if ttl ~= '0' then
    redis.call('PEXPIRE', key, ttl)
  elseif redis.call('PTTL', key) >= 0 then
    redis.call('PERSIST', key)
  end
end

-- Makes the index of a user's sessions live as long as a session that was just written, unless another lives longer.
local function set_index_expiry(index, ttl)
  if ttl == '0' then return set_expiry(index, ttl) end
  local left = redis.call('PTTL', index)
  if left == -1 and redis.call('ZCARD', index) > 1 then return end  -- another one may never expire
  if left < tonumber(ttl) then redis.call('PEXPIRE', index, ttl) end
end
