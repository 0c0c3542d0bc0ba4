-- The changes of the app's state that a session holds (Redis Cluster), as {FIELD, VALUE, ...}.
local function pending_changes(session)
  local fields, found = redis.pcall('HGETALL', session), {}  -- nothing where a key of a foreign type is in its place
  for at = 1, #fields, 2 do
    if string.sub(fields[at], 1, #FIELD.pending) == FIELD.pending then
      found[#found + 1] = fields[at]
      found[#found + 1] = fields[at + 1]
    end
  end
  return found
end
