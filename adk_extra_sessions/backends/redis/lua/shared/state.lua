-- Writes the `count` pairs of FIELD, VALUE that begin at ARGV[at]; returns the place after them.
-- HSET takes at most some thousand arguments.
local function write_pairs(key, at, count)
  local last = at + 2 * count - 1
  for from = at, last, 1000 do
    redis.call('HSET', key, unpack(ARGV, from, math.min(from + 999, last)))
  end
  return last + 1
end
