-- Reads a range of a session's events.
--
-- KEYS  1 session, 2 its events
-- ARGV  1 position of the first event, 2 of the last
-- Returns {revision with which the session was created, position of its first event, bodies}: the
--         revision tells whose events they are. Events before the first one are left out.
local head = redis.call('HMGET', KEYS[1], FIELD.start_revision, FIELD.first_position)
local kept, bodies = tonumber(head[2]) or 0, {}
local first, last = math.max(tonumber(ARGV[1]), kept), tonumber(ARGV[2])
if last >= first then
  local found = redis.call('LRANGE', KEYS[2], 2 * (first - kept), 2 * (last - kept) + 1)
  for nth = 2, #found, 2 do bodies[nth / 2] = found[nth] end
end
return {head[1], kept, bodies}
