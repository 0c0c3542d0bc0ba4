-- Removes app deltas that have been applied from a session.
--
-- KEYS  1 session hash
-- ARGV  their ids
-- Returns the deltas that the session still holds, as a flat array of FIELD, VALUE.
local session, pending = KEYS[1], {}
for _, id in ipairs(ARGV) do redis.call('HDEL', session, 'p:' .. id) end
local held = redis.call('HGETALL', session)
for at = 1, #held, 2 do
  if string.sub(held[at], 1, 2) == 'p:' then
    pending[#pending + 1] = held[at]
    pending[#pending + 1] = held[at + 1]
  end
end
if #pending == 0 then redis.call('HDEL', session, 'p') end
return pending
