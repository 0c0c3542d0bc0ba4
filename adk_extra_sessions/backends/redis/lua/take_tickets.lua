-- Takes tickets for changes of the app's state; see backends/shared_deltas.py.
--
-- KEYS  1 app's state
-- ARGV  1 how many
-- Returns the last of them.
local last = (tonumber(redis.call('HGET', KEYS[1], 'n') or '') or 0) + tonumber(ARGV[1])
redis.call('HSET', KEYS[1], 'n', string.format('%.0f', last))
return last
