-- Takes events out of a dead batch's copies, and leaves none of their bytes: what is deleted from a stream
-- stays in its memory until its neighbours go, too.
--
-- KEYS  1 the copies
-- ARGV  entries
-- Returns how many are left.

local gone = {}
for _, entry in ipairs(ARGV) do
  gone[entry] = true
end
local kept = {}
for _, event in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  if not gone[event[1]] then
    kept[#kept + 1] = event
  end
end
redis.call('DEL', KEYS[1])
for _, event in ipairs(kept) do
  redis.call('XADD', KEYS[1], event[1], unpack(event[2]))
end
return #kept
