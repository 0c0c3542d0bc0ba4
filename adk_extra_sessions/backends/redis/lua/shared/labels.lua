-- Whether the session `key` has all labels in ARGV from `at` on, which are pairs of FIELD, VALUE. One that has expired,
-- and a key of a foreign type, have none.
local function has_labels(key, at)
  local names = {}
  for nth = at, #ARGV, 2 do names[#names + 1] = ARGV[nth] end
  if not names[1] then return true end
  local values = redis.pcall('HMGET', key, unpack(names))
  if values.err then return false end
  for nth, value in ipairs(values) do
    if value ~= ARGV[at + 2 * nth - 1] then return false end
  end
  return true
end
