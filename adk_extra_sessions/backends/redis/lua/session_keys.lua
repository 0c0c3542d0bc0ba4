-- Looks which keys of a session there are, all at one moment.
--
-- KEYS  1 session, 2 its events, 3 index of the user's sessions
-- Returns {1 if the session exists, 1 if its events do, 1 if it is in the index, when the index expires as PTTL tells}.
local session, events, index = KEYS[1], KEYS[2], KEYS[3]
local listed = redis.pcall('ZSCORE', index, name_of(session, index)) and 1 or 0  -- one of a foreign type may list it
return {redis.call('EXISTS', session), redis.call('EXISTS', events), listed, redis.call('PTTL', index)}
