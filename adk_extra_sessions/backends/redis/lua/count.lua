-- Counts a user's sessions.
--
-- KEYS  1 index of the user's sessions
-- ARGV  pairs of FIELD, VALUE: labels that the sessions must have
local index, count, place = KEYS[1], 0, 0
local prefix = string.sub(index, 1, -2) .. 's:'
while true do
  local names = redis.call('ZRANGE', index, place, place + 999)
  for _, name in ipairs(names) do
    if ARGV[1] then
      local session = labelled(prefix .. name, 1)
      if session and #session > 0 then count = count + 1 end
    else
      count = count + redis.call('EXISTS', prefix .. name)
    end
  end
  if #names < 1000 then return count end
  place = place + 1000
end
