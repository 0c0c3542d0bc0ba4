-- Reads a session with some of its events and the state it shares.
--
-- KEYS  1 session, 2 its events, 3 index of the user's sessions, 4 user's state, [5 app's state]
-- ARGV  1 how many of the newest events, "" for all
--       2 then only those with a timestamp at or after this; "" for all
--       3 time to live in ms: the session stays so long from now on, if it would expire earlier;
--         0 to change nothing
-- Returns {session, bodies of the events, length of the list of events, user's state, app's state,
--         when the session expires in ms since the epoch, -1 for never}, hashes as flat arrays, or {} if there is no session.
local session, events = KEYS[1], KEYS[2]
local head = redis.call('HGETALL', session)
if #head == 0 then return {} end
stay_alive(ARGV[3])
local length = redis.call('LLEN', events)
local lowest = ARGV[1] == '' and 0 or math.max(length / 2 - ARGV[1], 0)

-- Reads back from the newest event, as long as one at or after a time may still come. No event is further behind
-- an earlier one than FIELD.backward_step, except behind those in FIELD.recent, whose positions are
-- known. So the first one older than the time minus that ends the search.
local function bodies_since(after)
  local fields = redis.call('HMGET', session, FIELD.backward_step, FIELD.first_position, FIELD.recent)
  local enough = after - (tonumber(fields[1]) or 0) - 0.001
  local found, at = {}, length / 2
  while at > lowest do
    local from = math.max(at - 64, lowest)
    local page = redis.call('LRANGE', events, 2 * from, 2 * at - 1)
    local oldest
    for nth = #page, 2, -2 do
      oldest = tonumber(string.match(page[nth - 1], '^%S+'))
      if oldest >= after then found[#found + 1] = page[nth] end
    end
    at = from
    if not oldest or oldest < enough then break end
  end
  local early = {}
  for position, timestamp in string.gmatch(fields[3] or '', '(%S+) %S+ (%S+)') do
    local place = position - (tonumber(fields[2]) or 0)
    if tonumber(timestamp) >= after and lowest <= place and place < at then early[#early + 1] = place end
  end
  table.sort(early)
  for nth = #early, 1, -1 do found[#found + 1] = redis.call('LINDEX', events, 2 * early[nth] + 1) end
  local bodies = {}
  for nth = #found, 1, -1 do bodies[#bodies + 1] = found[nth] end
  return bodies
end

local function bodies_from(place)
  local found, bodies = redis.call('LRANGE', events, 2 * place, -1), {}
  for nth = 2, #found, 2 do bodies[nth / 2] = found[nth] end
  return bodies
end

local bodies
if ARGV[1] == '0' then
  bodies = {}
elseif ARGV[2] ~= '' then
  bodies = bodies_since(tonumber(ARGV[2]))
else
  bodies = bodies_from(lowest)
end
return {head, bodies, length, redis.call('HGETALL', KEYS[4]), KEYS[5] and redis.call('HGETALL', KEYS[5]) or {},
  expires_at(session)}
