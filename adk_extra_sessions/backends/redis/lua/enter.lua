-- Enters a user into an app's indexes before the first session is created (Redis Cluster: they are in another slot).
--
-- KEYS  1 the app's users by expiry, 2 the same by name
-- ARGV  1 time to live in ms (0 for none) or until:MS since the epoch, 2 the user's name in the index
-- Returns users to look after: {USER, TIME, ...}.
local time = now()
local overdue = overdue_users(KEYS[1], time)
enter_user(KEYS[1], KEYS[2], ARGV[2], ttl_of(ARGV[1], '0'), time)
return overdue
