-- Counts a user's sessions.
--
-- KEYS  1 index of the user's sessions
-- ARGV  pairs of FIELD, VALUE: labels that the sessions must have
-- Returns {names of sessions that are not there, for drop_expired.lua, how many there are}.
local index, count, gone, place = KEYS[1], 0, {}, 0
local prefix = string.sub(index, 1, -2) .. 's:'
while true do
  local names = redis.call('ZRANGE', index, place, place + 999)
  for _, name in ipairs(names) do
    if redis.call('EXISTS', prefix .. name) == 0 then
      gone[#gone + 1] = name
    elseif has_labels(prefix .. name, 1) then
      count = count + 1
    end
  end
  if #names < 1000 then return {gone, count} end
  place = place + 1000
end
