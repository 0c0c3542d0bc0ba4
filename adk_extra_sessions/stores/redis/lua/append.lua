-- Appends events to a session: all of them, with their state and expiry, or none.
--
-- KEYS  1 session hash, 2 event list, [3 user's state], [last: app's state]
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
-- has. The list is searched for it only when the event is no newer than the
-- newest one stored: a repeated one never is newer.
local session, events = KEYS[1], KEYS[2]
local head = redis.call('HMGET', session, 'r', 't', 'm', 'd', 'b', 'v', 'p')
-- A key of a foreign type fails here, before the first write.
local count = redis.call('LLEN', events)
if not head[1] then return {redis.call('EXISTS', session) == 0 and 0 or -2} end
if (tonumber(head[6]) or math.huge) > FORMAT or tonumber(head[1]) ~= (tonumber(head[5]) or 0) + count then return {-2} end
for at = 3, #KEYS do redis.call('HLEN', KEYS[at]) end
local stored = head[1]
local newest, backstep = tonumber(head[3]), tonumber(head[4]) or 0
local newest_text, backstep_text, last = head[3], head[4], nil
local reply, written, repeated = {head[7] and 2 or 1}, 0, nil
local kind, known = string.sub(ARGV[1], 1, 1), tonumber(string.sub(ARGV[1], 2))

local function revision(offset)
  return string.format('%.0f', tonumber(stored) + offset)
end

local function allowed()
  if kind == '=' then return known == tonumber(stored) end
  if kind == '<' then return tonumber(head[2]) <= known or repeated == stored end
  return true
end

local function skip_pairs(at)
  return at + 1 + 2 * tonumber(ARGV[at])
end

local at = 3
while ARGV[at] do
  local text, body = ARGV[at], ARGV[at + 1]
  local timestamp, place = tonumber(text), false
  if newest and timestamp <= newest then
    place = redis.call('LPOS', events, body, 'RANK', -1)
  end
  at = at + 2
  if place then
    repeated = revision(place + 1 + written - redis.call('LLEN', events))
    -- A repeated event leads on only from what its writer knows, not over a gap.
    if kind == '=' and tonumber(repeated) == known + 1 then known = known + 1 end
    reply[#reply + 1] = -tonumber(repeated)
    at = skip_pairs(skip_pairs(skip_pairs(at)))
  else
    if written == 0 and not allowed() then return {-1} end
    redis.call('RPUSH', events, body)
    at = write_pairs(session, at)
    at = write_pairs(KEYS[3], at)
    at = write_pairs(KEYS[#KEYS], at)
    written = written + 1
    reply[#reply + 1] = tonumber(revision(written))
    if newest and newest - timestamp > backstep then
      backstep = newest - timestamp
      backstep_text = string.format('%.17g', backstep)
    end
    if not newest or timestamp > newest then newest, newest_text = timestamp, text end
    last = text
  end
end

if written > 0 then
  redis.call('HSET', session, 'r', revision(written), 't', last, 'm', newest_text, 'd', backstep_text or '0')
  if ARGV[2] ~= '0' then
    redis.call('PEXPIRE', session, ARGV[2])
    redis.call('PEXPIRE', events, ARGV[2])
  elseif redis.call('PTTL', session) >= 0 then
    redis.call('PERSIST', session)
    redis.call('PERSIST', events)
  end
else
  -- WAIT looks at its connection's own last write, which must come after what was found stored.
  redis.call('HSET', session, 'r', stored)
end
return reply
