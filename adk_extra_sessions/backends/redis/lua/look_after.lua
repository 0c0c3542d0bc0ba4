-- Removes users without sessions from an app's indexes, and renews the time of others.
--
-- KEYS  1 the app's users by expiry, 2 the same by name
-- ARGV  for each user: name in the index; the time that was read there before
--       the user's sessions were looked for, "" where none was read; how long
--       these live in ms, as PTTL returns it
--
-- A user is removed only if the time has passed and is still the one that was read:
-- before a session is created, another time is set. A user whose time has not passed
-- gets a short one instead, and is looked at again.
local by_expiry, by_name, time = KEYS[1], KEYS[2], now()
for at = 1, #ARGV, 3 do
  local user, read, left = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local score = tonumber(redis.call('ZSCORE', by_expiry, user) or '')
  if score and left ~= -2 then
    if score < time then redis.call('ZADD', by_expiry, string.format('%.0f', left == -1 and NEVER or time + left), user) end
  elseif score and score < time then
    if score == read then remove_user(by_expiry, by_name, user) end
  elseif score and score > time + GRACE then
    redis.call('ZADD', by_expiry, string.format('%.0f', time + GRACE), user)
  end
end
return 1
