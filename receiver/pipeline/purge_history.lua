-- Changes or removes fields of an event's hash, unless they have changed meanwhile.
--
-- KEYS  1 the hash
-- ARGV  for each: field, what it is, what it shall be or ''
-- Returns how many were changed.

local changed = 0
for i = 1, #ARGV, 3 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    changed = changed + 1
    if ARGV[i + 2] == '' then
      redis.call('HDEL', KEYS[1], ARGV[i])
    else
      redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
    end
  end
end
return changed
