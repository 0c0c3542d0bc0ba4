-- Reads a page of a user's sessions without their events, by the time of their last update, then by name.
--
-- KEYS  1 index of the user's sessions, 2 user's state, [3 app's state]
-- ARGV  1 "desc" for the newest first, 2 how many, 3 time and 4 name of the session before the page ("" for none),
--       5 "1" to read the state, too, then pairs of FIELD, VALUE: labels that the sessions must have
-- Returns {names of sessions that are not there, for drop_expired.lua, time and name of the last session that was looked
--         at, "" after the last of all, user's state, app's state,
--         then for each session: name, what a list needs of its hash as a flat array, when it expires in ms since
--         the epoch, -1 for never}.
local UNUSED = {[FIELD.nonce] = true, [FIELD.initial_state] = true, [FIELD.recent] = true, [FIELD.newest_time] = true,
  [FIELD.backward_step] = true}
local LOOKED_AT = 1000  -- at most: the server serves nobody else meanwhile
local index, newest_first, size = KEYS[1], ARGV[1] == 'desc', tonumber(ARGV[2])
local prefix = string.sub(index, 1, -2) .. 's:'
local range = newest_first and 'ZREVRANGE' or 'ZRANGE'

-- The number of sessions before the page. One that has moved or gone is replaced by those that are before its place.
local function first_place(time, name)
  if time == '' then return 0 end
  if redis.call('ZSCORE', index, name) == time then
    return redis.call(newest_first and 'ZREVRANK' or 'ZRANK', index, name) + 1
  end
  local place
  if newest_first then
    place = redis.call('ZCOUNT', index, '(' .. time, '+inf')
  else
    place = redis.call('ZCOUNT', index, '-inf', '(' .. time)
  end
  while true do
    local found = redis.call(range, index, place, place, 'WITHSCORES')
    local is_before = found[2] == time
    if newest_first then is_before = is_before and found[1] >= name else is_before = is_before and found[1] <= name end
    if not is_before then return place end
    place = place + 1
  end
end

local place = first_place(ARGV[3], ARGV[4])
local function state_in(key)
  return key and ARGV[5] == '1' and redis.call('HGETALL', key) or {}
end

local function begins(text, prefix)
  return string.sub(text, 1, #prefix) == prefix
end

-- What a list needs of a session; of a key of a foreign type an unknown format.
local function needed(key)
  local session, fields = redis.pcall('HGETALL', key), {}
  if session.err then return {FIELD.format, ''} end
  for at = 1, #session, 2 do
    local name = session[at]
    if not (UNUSED[name] or begins(name, FIELD.outline) or ARGV[5] ~= '1' and begins(name, FIELD.state)) then
      fields[#fields + 1], fields[#fields + 2] = name, session[at + 1]
    end
  end
  return fields
end

local gone, looked_at, count, last = {}, 0, 0, nil
local page = {gone, '', '', state_in(KEYS[2]), state_in(KEYS[3])}
while count < size and looked_at < LOOKED_AT do
  local names = redis.call(range, index, place, place + math.min(size - count, 100) - 1, 'WITHSCORES')
  if #names == 0 then break end
  for at = 1, #names, 2 do
    local key = prefix .. names[at]
    if redis.call('EXISTS', key) == 0 then
      gone[#gone + 1] = names[at]
    elseif has_labels(key, 6) then
      count = count + 1
      for _, part in ipairs({names[at], needed(key), expires_at(key)}) do page[#page + 1] = part end
    end
    last = {names[at + 1], names[at]}
  end
  place, looked_at = place + #names / 2, looked_at + #names / 2
end
if last and place < redis.call('ZCARD', index) then page[2], page[3] = last[1], last[2] end
return page
