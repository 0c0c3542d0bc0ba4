-- Appends events to a session: all of them, with their state and expiry, or none.
--
-- KEYS  1 session, 2 its events, 3 index of the user's sessions, [4 user's state], [last: app's state]
-- ARGV  1 condition: "=REVISION", "<TIME" (refused if the session is newer) or "*"
--       2 time to live in ms, 0 for none; the session's own, if it has one, is used instead
--       3 how many of the events may change which calls of long-running tools wait, "" for none
--       then for each event: TIMESTAMP, DIGEST, BODY, COUNTS, and as many pairs of FIELD, VALUE as
--       COUNTS says for session, user and app ("2 0 1"; empty for none)
-- Returns {1, revision after each event...}, negative for an event that had been stored before, and 2 for
--         1 if the session holds changes of the app's state (Redis Cluster); {0} if there is no session, {-1}
--         if the condition does not hold, {-2} if the session is damaged, foreign or of another format;
--         nothing is written then.
--
-- A full server, or one that refuses writes for another reason, stops a script at its first write, but not at
-- later ones; a missing right stops it wherever the command is. So each script first tries its commands in a way
-- that changes nothing, then writes.
--
-- An event whose header (timestamp and digest) is stored already is not stored again, and gets the revision that
-- it has. The timestamps and positions of the RECENT newest events are known, and the newest timestamp of all
-- others. An event that is newer than that, and not one of the RECENT, is new; only for others the list is
-- searched. So appends do not search, even if a few events have a time far ahead.
local RECENT = 4
local session, events, index = KEYS[1], KEYS[2], KEYS[3]
local head = redis.call('HMGET', session, FIELD.revision, FIELD.last_update_time, FIELD.format, FIELD.start_revision,
  FIELD.first_position, FIELD.event_count, FIELD.recent, FIELD.newest_time, FIELD.backward_step, FIELD.has_pending,
  FIELD.ttl, FIELD.long_running)
-- A key of a foreign type fails here.
local length = redis.call('LLEN', events)
if not head[1] then return {redis.call('EXISTS', session) == 0 and 0 or -2} end
if head[3] ~= FORMAT or length ~= 2 * (tonumber(head[6]) or -1) then return {-2} end
for at = 4, #KEYS do redis.call('HLEN', KEYS[at]) end
local revision, update_time, first = tonumber(head[1]), head[2], tonumber(head[5])
local recent, newest, backward = head[7] or '', head[8] or '', head[9] or '0'
local position = first + head[6]  -- of the next event
local kind, known = string.sub(ARGV[1], 1, 1), tonumber(string.sub(ARGV[1], 2))

-- Whether an event is newer than all others, as far as can be told without splitting `recent`: that ends with
-- the timestamp of the newest event, which mostly is the last one.
local function is_newest(timestamp)
  return string.sub(recent, -#update_time - 1) == ' ' .. update_time and timestamp > tonumber(update_time)
end

-- Splits `recent`: the newest events, the oldest of them first, each with its position, the lowest timestamp
-- of an event after it (its own where none is lower), and its timestamp.
local function entries()
  local found = {}
  for at, low, text in string.gmatch(recent, '(%S+) (%S+) (%S+)') do
    found[#found + 1] = {text = text, timestamp = tonumber(text), position = tonumber(at), low = low}
  end
  return found
end

-- Returns the position of an event that is stored already, or nil.
local function position_of(timestamp, header)
  for _, one in ipairs(entries()) do
    if one.timestamp == timestamp
      and redis.call('LINDEX', events, 2 * (one.position - first)) == header then return one.position end
  end
  local found = newest ~= '' and timestamp <= tonumber(newest) and redis.call('LPOS', events, header, 'RANK', -1)
  return found and first + found / 2 or nil
end

-- Notes the timestamp of an event that is to be stored at `position`.
local function note(text, timestamp)
  local low, oldest, rest = string.match(recent, '^%S+ (%S+) (%S+) (.+)$')
  if position >= RECENT and is_newest(timestamp) and low == oldest then
    recent, newest = rest .. ' ' .. position .. ' ' .. text .. ' ' .. text, oldest
    return
  end
  local found = entries()
  local at = #found + 1
  while at > 1 and timestamp < found[at - 1].timestamp do
    at = at - 1
    if timestamp < tonumber(found[at].low) then found[at].low = text end
  end
  table.insert(found, at, {text = text, timestamp = timestamp, position = position, low = text})
  if #found > RECENT then
    local other = table.remove(found, 1)
    local before = tonumber(newest) or other.timestamp
    backward = string.format('%.17g',
      math.max(tonumber(backward), before - other.timestamp, other.timestamp - tonumber(other.low)))
    if other.timestamp >= before then newest = other.text end
  end
  for nth, one in ipairs(found) do
    found[nth] = one.position .. ' ' .. one.low .. ' ' .. one.text
  end
  recent = table.concat(found, ' ')
end

local repeated
local function allowed()
  if kind == '=' then return known == revision end
  if kind == '<' then return tonumber(update_time) <= known or repeated == revision end
  return true
end

-- Everything is decided before anything is written.
local reply, elements, states, added, last = {head[10] and 2 or 1}, {}, {}, {}, update_time
local at, new = 4, 0
while ARGV[at] do
  local text, header, counts = ARGV[at], ARGV[at] .. ' ' .. ARGV[at + 1], ARGV[at + 3]
  local timestamp = tonumber(text)
  local place = added[header] or (not is_newest(timestamp) and position_of(timestamp, header) or nil)
  if place then
    repeated = head[4] + place + 1
    -- A repeated event is known to its writer only if it follows what the writer knows, without a gap.
    if kind == '=' and repeated == known + 1 then known = known + 1 end
    reply[#reply + 1] = -repeated
  else
    if new == 0 and not allowed() then return {-1} end
    note(text, timestamp)
    added[header], update_time = position, text
    elements[2 * new + 1], elements[2 * new + 2] = header, ARGV[at + 2]
    new, position = new + 1, position + 1
    reply[#reply + 1] = revision + new
  end
  at = at + 4
  if counts ~= '' then
    local own, user, app = string.match(counts, '(%d+) (%d+) (%d+)')
    if not place then states[#states + 1] = {at, own, user, app} end
    at = at + 2 * (own + user + app)
  end
end

-- A full server or a missing right fails here. WAIT looks at its connection's
-- own last write, which must come after what was found stored.
redis.call('HSET', session, FIELD.revision, head[1])
if new == 0 then return reply end
local ttl = ttl_of(head[11], ARGV[2])
if ttl ~= '0' then
  redis.call('PEXPIRE', session, ttl)
  set_index_expiry(index, ttl)
elseif redis.call('PTTL', session) >= 0 then
  for nth = 1, 3 do redis.call('PERSIST', KEYS[nth]) end
end
local name = name_of(session, index)
redis.call('ZADD', index, update_time, name)
local pushed = redis.pcall('RPUSH', events, unpack(elements))
if type(pushed) == 'table' then
  redis.call('ZADD', index, last, name)
  return pushed
end
for _, state in ipairs(states) do
  local from = write_pairs(session, state[1], state[2])
  from = write_pairs(KEYS[4], from, state[3])
  write_pairs(KEYS[#KEYS], from, state[4])
end
if ARGV[3] ~= '' then redis.call('HSET', session, FIELD.long_running, (tonumber(head[12]) or 0) + ARGV[3]) end
redis.call('HSET', session, FIELD.revision, string.format('%.0f', revision + new), FIELD.last_update_time, update_time,
  FIELD.event_count, position - first, FIELD.recent, recent, FIELD.newest_time, newest, FIELD.backward_step, backward)
if ttl ~= '0' then redis.call('PEXPIRE', events, ttl) end
return reply
