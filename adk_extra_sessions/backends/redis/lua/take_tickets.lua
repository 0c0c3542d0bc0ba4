-- Takes tickets for changes of the app's state; see backends/shared_deltas.py.
--
-- KEYS  1 app's state
-- ARGV  1 how many
-- Returns the last of them.
--
-- Each is greater than the one before, and than the server's time in microseconds: so
-- also after a failover that lost the counter's last steps.
local time = redis.call('TIME')
local last = math.max(tonumber(redis.call('HGET', KEYS[1], FIELD.last_ticket) or '') or 0, time[1] * 1000000 + time[2]) + ARGV[1]
redis.call('HSET', KEYS[1], FIELD.last_ticket, string.format('%.0f', last))
return string.format('%.0f', last)
