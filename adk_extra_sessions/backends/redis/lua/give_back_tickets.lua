-- Removes an app's state that has nothing but the counter of tickets, after an append whose session is gone:
-- the app may have been erased meanwhile. Later tickets are still greater; see take_tickets.lua.
--
-- KEYS  1 app's state
local state = KEYS[1]
if redis.call('HLEN', state) == 1 and redis.call('HGET', state, FIELD.last_ticket) then redis.call('DEL', state) end
return 1
