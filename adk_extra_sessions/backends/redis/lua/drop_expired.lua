-- Removes sessions that have expired from the index of a user's sessions.
--
-- KEYS  1 index of the user's sessions, then the sessions
-- Returns how many of the sessions exist.
--
-- A Redis Cluster refuses the call while some of its keys may be on another node, since the slot is being moved.
-- Scripts that read sessions by the names in the index are not refused then, and find none.
local index, there = KEYS[1], 0
for at = 2, #KEYS do
  if redis.call('EXISTS', KEYS[at]) == 1 then
    there = there + 1
  else
    redis.pcall('ZREM', index, name_of(KEYS[at], index))  -- a server that refuses writes can be read
  end
end
return there
