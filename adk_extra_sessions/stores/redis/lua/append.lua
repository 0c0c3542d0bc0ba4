-- Appends events to a session: all of them, with their state and expiry, or none.
--
-- KEYS  1 session hash, 2 event list, [3 user's state], [last: app's state]
-- ARGV  1 condition: "=REVISION", "<TIME" (refused if storage is newer) or "*"
--       2 time to live in ms, 0 for none
--       then for each event: TIMESTAMP, BODY, and three times (session, user,
--       app) a count followed by that many pairs of FIELD, VALUE
-- Returns {1, revision after each event...}, negative for an event that had
--         been stored before; {0} if there is no session,
--         {-1} if the condition does not hold; nothing is written then.
--
-- An event whose very bytes are stored is left alone and gets the revision it
-- has. The list is searched for it only when the event is no newer than the
-- newest one stored: a repeated one never is newer.
local session, events = KEYS[1], KEYS[2]
local head = redis.call('HMGET', session, 'r', 't', 'm', 'd')
if not head[1] then return {0} end
-- A key of a foreign type fails here, before the first write.
redis.call('LLEN', events)
for at = 3, #KEYS do redis.call('HLEN', KEYS[at]) end
local stored = head[1]
local newest, backstep = tonumber(head[3]), tonumber(head[4]) or 0
local newest_text, backstep_text, last = head[3], head[4], nil
local reply, written, repeated = {1}, 0, nil

local function revision(offset)
  return string.format('%.0f', tonumber(stored) + offset)
end

local function allowed()
  local kind, value = string.sub(ARGV[1], 1, 1), string.sub(ARGV[1], 2)
  if kind == '=' then return value == stored or repeated == stored end
  if kind == '<' then return tonumber(head[2]) <= tonumber(value) or repeated == stored end
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
