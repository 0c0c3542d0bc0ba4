-- Deletes some of a user's sessions with their events and turns, and with the last of them the user's state: it may
-- belong to a session that somebody has just created.
--
-- KEYS  1 index of the user's sessions
-- ARGV  1 how many, then names of others that the index may not have
-- Returns {keys deleted, sessions, events, turns, states, how many sessions are left in the index}.
local index, counts = KEYS[1], {0, 0, 0, 0, 0}
local prefix = string.sub(index, 1, -2)
local names = redis.call('ZRANGE', index, 0, ARGV[1] - 1)
for at = 2, #ARGV do names[#names + 1] = ARGV[at] end
for _, name in ipairs(names) do
  local session, events, turn = prefix .. 's:' .. name, prefix .. 'e:' .. name, prefix .. 't:' .. name
  local length = redis.pcall('LLEN', events)
  counts[2] = counts[2] + redis.call('EXISTS', session)
  counts[3] = counts[3] + (type(length) == 'number' and math.floor(length / 2) or 0)
  counts[4] = counts[4] + redis.call('EXISTS', turn)
  counts[1] = counts[1] + redis.call('UNLINK', session, events, turn)
  redis.call('ZREM', index, name)
end
counts[6] = redis.call('ZCARD', index)
if counts[6] == 0 then counts[5] = redis.call('UNLINK', prefix .. 'u') end
counts[1] = counts[1] + counts[5]
return counts
