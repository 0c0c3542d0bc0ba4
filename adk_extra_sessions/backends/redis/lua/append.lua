-- Appends events to a session: all of them, with their state and expiry, or none.
--
-- KEYS  1 session hash, 2 event list, 3 index of the user's sessions,
--       [4 user's state], [last: app's state]
-- ARGV  1 condition: "=REVISION", "<TIME" (refused if storage is newer) or "*"
--       2 time to live in ms, 0 for none
--       then for each event: TIMESTAMP, BODY, and three times (session, user,
--       app) a count followed by that many pairs of FIELD, VALUE
-- Returns {1, revision after each event...}, negative for an event that had
--         been stored before, and 2 for 1 if the session held app deltas
--         before (Redis Cluster); {0} if there is no session,
--         {-1} if the condition does not hold, {-2} if the session is damaged,
--         foreign or from a newer version; nothing is written then.
--
-- An event whose very bytes are stored is left alone and gets the revision it
-- has. Of the AHEAD newest events (field k) timestamps and places are known, of
-- all others the newest timestamp (m): what is newer than these and is none of
-- those is new; only for the rest the list is searched. So neither a clock
-- that runs on, nor some events with one far ahead, make appends search.
local AHEAD = 4
local session, events, index = KEYS[1], KEYS[2], KEYS[3]
local head = redis.call('HMGET', session, 'r', 't', 'm', 'd', 'k', 'b', 'v', 'p')
-- A key of a foreign type fails here.
local count = redis.call('LLEN', events)
if not head[1] then return {redis.call('EXISTS', session) == 0 and 0 or -2} end
local stored, newest, backstep = tonumber(head[1]), tonumber(head[3]), tonumber(head[4]) or 0
if (tonumber(head[7]) or math.huge) > FORMAT or stored ~= (tonumber(head[6]) or 0) + count then return {-2} end
for at = 4, #KEYS do redis.call('HLEN', KEYS[at]) end
local kind, known = string.sub(ARGV[1], 1, 1), tonumber(string.sub(ARGV[1], 2))

-- The newest events, the oldest of them first: timestamp, place, and the
-- lowest timestamp of an event after it, or its own where none is lower.
local ahead = {}
for text, place, low in string.gmatch(head[5] or '', '(%S+) (%S+) (%S+)') do
  ahead[#ahead + 1] = {text = text, timestamp = tonumber(text), place = tonumber(place), low = low}
end

-- Returns the place of an event that is stored already, or false.
local function place_of(timestamp, body)
  for _, one in ipairs(ahead) do
    if one.timestamp == timestamp and redis.call('LINDEX', events, one.place) == body then return one.place end
  end
  return newest and timestamp <= newest and redis.call('LPOS', events, body, 'RANK', -1)
end

-- Takes the timestamp of an event that is to be stored into account.
local function note(text, timestamp, place)
  local at = #ahead + 1
  while at > 1 and timestamp < ahead[at - 1].timestamp do
    at = at - 1
    if timestamp < tonumber(ahead[at].low) then ahead[at].low = text end
  end
  table.insert(ahead, at, {text = text, timestamp = timestamp, place = place, low = text})
  if #ahead > AHEAD then
    local other = table.remove(ahead, 1)
    newest = newest or other.timestamp
    backstep = math.max(backstep, newest - other.timestamp, other.timestamp - tonumber(other.low))
    if other.timestamp >= newest then newest, head[3] = other.timestamp, other.text end
  end
end

local repeated
local function allowed()
  if kind == '=' then return known == stored end
  if kind == '<' then return tonumber(head[2]) <= known or repeated == stored end
  return true
end

-- First all is decided, then it is written.
local reply, bodies, states, added, last = {head[8] and 2 or 1}, {}, {}, {}, head[2]
local at = 3
while ARGV[at] do
  local timestamp, body = tonumber(ARGV[at]), ARGV[at + 1]
  local place = added[body] or place_of(timestamp, body)
  if place then
    repeated = stored - count + place + 1
    -- A repeated event leads on only from what its writer knows, not over a gap.
    if kind == '=' and repeated == known + 1 then known = known + 1 end
    reply[#reply + 1] = -repeated
  else
    if #bodies == 0 and not allowed() then return {-1} end
    added[body] = count + #bodies
    note(ARGV[at], timestamp, count + #bodies)
    bodies[#bodies + 1], states[#states + 1], last = body, at + 2, ARGV[at]
    reply[#reply + 1] = stored + #bodies
  end
  at = at + 2
  for _ = 1, 3 do at = at + 1 + 2 * tonumber(ARGV[at]) end
end

-- A full server fails here, and a missing right. WAIT looks at its connection's
-- own last write, which must come after what was found stored.
redis.call('HSET', session, 'r', head[1])
if #bodies == 0 then return reply end
local _, name = split_key(session)
if ARGV[2] ~= '0' then
  redis.call('PEXPIRE', session, ARGV[2])
  set_index_expiry(index, ARGV[2])
elseif redis.call('PTTL', session) >= 0 then
  for nth = 1, 3 do redis.call('PERSIST', KEYS[nth]) end
end
redis.call('ZADD', index, last, name)
local pushed = redis.pcall('RPUSH', events, unpack(bodies))
if type(pushed) == 'table' then
  redis.call('ZADD', index, head[2], name)
  return pushed
end
for _, state in ipairs(states) do
  state = write_pairs(session, state)
  state = write_pairs(KEYS[4], state)
  write_pairs(KEYS[#KEYS], state)
end
local newer = {}
for nth, one in ipairs(ahead) do
  newer[nth] = string.format('%s %d %s', one.text, one.place, one.low)
end
redis.call('HSET', session, 'r', string.format('%.0f', stored + #bodies), 't', last, 'm', head[3] or '',
  'd', string.format('%.17g', backstep), 'k', table.concat(newer, ' '))
if ARGV[2] ~= '0' then redis.call('PEXPIRE', events, ARGV[2]) end
return reply
