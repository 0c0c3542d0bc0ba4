-- Changes a session's name, labels and lifetime.
--
-- KEYS  1 session, 2 its events, 3 index of the user's sessions, [4 the app's users by expiry, 5 the same by name]
-- ARGV  1 time to live in ms of the store (0 for none), 2 the session's own from now on: "" for none, "=" to leave it
--       3 the user's name in the app's index, 4 "1" to remove all labels, 5 how many fields to remove,
--       then their names, then pairs of FIELD, VALUE to set
-- Returns {1, session as a flat array, when it expires in ms since the epoch, -1 for never}; {0} if there is no
--         session, {-2} if it is damaged, foreign or of another format.
local session, events, index, by_expiry, by_name = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local revision, format = unpack(redis.call('HMGET', session, FIELD.revision, FIELD.format))
if not revision then return {redis.call('EXISTS', session) == 0 and 0 or -2} end
if format ~= FORMAT then return {-2} end
-- A full server or a missing right fails here; see append.lua.
redis.call('HSET', session, FIELD.revision, revision)
redis.call('HDEL', session, '')
if ARGV[2] ~= '=' then
  local ttl = ttl_of(ARGV[2], ARGV[1])
  if by_expiry then enter_user(by_expiry, by_name, ARGV[3], ttl, now()) end
  set_index_expiry(index, ttl)
  set_expiry(events, ttl)
  set_expiry(session, ttl)
  if ARGV[2] == '' then
    redis.call('HDEL', session, FIELD.ttl)
  else
    redis.call('HSET', session, FIELD.ttl, ARGV[2])
  end
end
if ARGV[4] == '1' then
  for _, name in ipairs(redis.call('HKEYS', session)) do
    if string.sub(name, 1, #FIELD.label) == FIELD.label then redis.call('HDEL', session, name) end
  end
end
local at = 6
for nth = at, at + ARGV[5] - 1 do redis.call('HDEL', session, ARGV[nth]) end
at = at + ARGV[5]
write_pairs(session, at, (#ARGV - at + 1) / 2)
return {1, redis.call('HGETALL', session), expires_at(session)}
