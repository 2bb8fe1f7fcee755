-- Finds the oldest inbox entry that a lane still holds.
-- KEYS 1 lanes   ARGV 1 prefix   Returns the entry, or false if no lane holds any.

local oldest, first, second

local function consider(entry)
  if entry then
    local a, b = string.match(entry, '(%d+)-(%d+)')
    a, b = tonumber(a), tonumber(b)
    if not oldest or a < first or (a == first and b < second) then
      oldest, first, second = entry, a, b
    end
  end
end

for _, lane in ipairs(redis.call('HKEYS', KEYS[1])) do
  local key = ARGV[1] .. 'lane:' .. lane
  consider(redis.call('LINDEX', key .. ':queue', 0))
  for _, entry in ipairs(redis.call('SMEMBERS', key .. ':taken')) do
    consider(entry)
  end
  for _, conversation in ipairs(redis.call('ZRANGE', key .. ':held', 0, -1)) do
    consider(redis.call('LINDEX', key .. ':parked:' .. conversation, 0))
  end
end
return oldest or false
