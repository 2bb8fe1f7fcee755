-- Copies a page of the inbox; with the last one, the copy takes the inbox's place.
--
-- KEYS  1 inbox  2 copy  3 marred
-- ARGV  1 how many at the most
-- Returns how many were copied, or -1 when it is done.

local inbox, copy = KEYS[1], KEYS[2]
local last = redis.call('XREVRANGE', copy, '+', '-', 'COUNT', 1)[1]
local found = redis.call('XRANGE', inbox, last and '(' .. last[1] or '-', '+', 'COUNT', ARGV[1])
for _, event in ipairs(found) do
  redis.call('XADD', copy, event[1], unpack(event[2]))
end
if #found == tonumber(ARGV[1]) then
  return #found
end

local oldest = redis.call('XRANGE', inbox, '-', '+', 'COUNT', 1)[1]
if oldest then
  redis.call('XTRIM', copy, 'MINID', oldest[1]) -- what housekeeping has dropped meanwhile
  local told = redis.call('XINFO', 'STREAM', inbox)
  for i = 1, #told, 2 do
    if told[i] == 'last-generated-id' then
      redis.call('XSETID', copy, told[i + 1])
    end
  end
  local old = copy .. ':old'
  redis.call('RENAME', inbox, old)
  redis.call('RENAME', copy, inbox)
  redis.call('UNLINK', old)
else
  redis.call('UNLINK', copy) -- an empty stream has no bytes of anybody
end
redis.call('DEL', KEYS[3])
return -1
