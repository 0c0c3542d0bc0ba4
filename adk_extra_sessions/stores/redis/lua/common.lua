-- Shared by the scripts that write fields; stands above each of them.

-- Writes the pairs of FIELD, VALUE that begin after the count at ARGV[at];
-- returns the place after them. HSET takes at most some thousand arguments.
local function write_pairs(key, at)
  local last = at + 2 * tonumber(ARGV[at])
  for from = at + 1, last, 1000 do
    redis.call('HSET', key, unpack(ARGV, from, math.min(from + 999, last)))
  end
  return last + 1
end
