-- Deletes some of a user's sessions with their events and turns, and with the last of them the user's state: it may
-- belong to a session that somebody has just created.
--
-- KEYS  1 index of the user's sessions, 2 user's state, then for each session: session, its events, its turn
-- Returns {keys deleted, sessions, events, turns, states, how many sessions are left in the index}.
--
-- Whatever is deleted is among the keys, so that a Redis Cluster refuses the call while the slot is being moved.
local index, state, counts = KEYS[1], KEYS[2], {0, 0, 0, 0, 0}
for at = 3, #KEYS, 3 do
  local session, events, turn = KEYS[at], KEYS[at + 1], KEYS[at + 2]
  local length = redis.pcall('LLEN', events)
  counts[2] = counts[2] + redis.call('EXISTS', session)
  counts[3] = counts[3] + (type(length) == 'number' and math.floor(length / 2) or 0)
  counts[4] = counts[4] + redis.call('EXISTS', turn)
  counts[1] = counts[1] + redis.call('UNLINK', session, events, turn)
  redis.call('ZREM', index, name_of(session, index))
end
counts[6] = redis.call('ZCARD', index)
if counts[6] == 0 then counts[5] = redis.call('UNLINK', state) end
counts[1] = counts[1] + counts[5]
return counts
