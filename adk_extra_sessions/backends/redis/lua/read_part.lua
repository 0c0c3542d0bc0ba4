-- Reads a session with the events that its outline names, and the state it shares.
--
-- KEYS  1 session, 2 its events, 3 index of the user's sessions, 4 user's state, [5 app's state]
-- ARGV  1 field of the outline, "" for none
--       2 how many of the newest events, "" for those from the outline's start on
--       3 time to live in ms, as for read.lua
-- Returns {session, runs of events, length of the list of events, user's state, app's state, when the
--         session expires, header of the newest event}: hashes as flat arrays, for each run the position of its
--         first event and the bodies; or {} if there is no session.
--
-- An outline is "UPTO LONG_RUNNING START FIRST-LAST FIRST-LAST ...", see history/outline.py.
local session, events = KEYS[1], KEYS[2]
local head = redis.call('HGETALL', session)
if #head == 0 then return {} end
stay_alive(ARGV[3])
local fields = redis.call('HMGET', session, FIELD.first_position, FIELD.event_count, ARGV[1])
local first, outline, runs = tonumber(fields[1]) or 0, fields[3] or '', {}
local past = first + (tonumber(fields[2]) or 0)
local start = ARGV[2] ~= '' and past - ARGV[2] or tonumber(string.match(outline, '^%d+ %d+ (%d+)')) or 0
start = math.min(math.max(start, first), past)
local function add(from, to)
  if from >= to then return end
  local found, bodies = redis.call('LRANGE', events, 2 * (from - first), 2 * (to - first) - 1), {}
  for nth = 2, #found, 2 do bodies[nth / 2] = found[nth] end
  runs[#runs + 1], runs[#runs + 2] = from, bodies
end
for from, last in string.gmatch(outline, '(%d+)%-(%d+)') do
  add(math.max(tonumber(from), first), math.min(last + 1, start))
end
add(start, past)
return {
  head,
  runs,
  redis.call('LLEN', events),
  redis.call('HGETALL', KEYS[4]),
  KEYS[5] and redis.call('HGETALL', KEYS[5]) or {},
  expires_at(session),
  redis.call('LINDEX', events, -2) or '',
}
