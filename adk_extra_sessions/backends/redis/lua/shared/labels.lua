-- Reads the session `key` if it has all labels in ARGV from `at` on, which are pairs of FIELD, VALUE. Returns its hash
-- as a flat array: an empty one if it has expired, one of an unknown format if the key has a foreign type; nil
-- without the labels.
local function labelled(key, at)
  if not ARGV[at] then
    local found = redis.pcall('HGETALL', key)
    return found.err and {FIELD.format, ''} or found
  end
  local names = {}
  for nth = at, #ARGV, 2 do names[#names + 1] = ARGV[nth] end
  local values = redis.pcall('HMGET', key, unpack(names))
  if values.err then return nil end
  for nth, value in ipairs(values) do
    if value ~= ARGV[at + 2 * nth - 1] then return redis.call('EXISTS', key) == 0 and {} or nil end
  end
  return redis.call('HGETALL', key)
end
