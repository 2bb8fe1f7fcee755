-- Ends the caller's ownership: when the lane has nothing to do now, or when the caller gives way.
--
-- KEYS  1 owner  2 queue  3 taken  4 held  5 gathering  6 lanes
-- ARGV  1 lane  2 token  3 '1' to give way  4 '1' if the caller closes what was gathered
-- Returns {'empty'}, {'resting', due (ms)}, {'more'}, or false if the caller no longer owns the lane.
-- 'more' leaves the lane to the caller, unless it gives way.

if redis.call('GET', KEYS[1]) ~= ARGV[2] then
  return false
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2]
local closing = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')[2]
if closing and ARGV[4] ~= '1' then
  closing = now + 60000 -- its handler gets no batches any more: it waits for one that does
end
local due = held
if closing and (not held or tonumber(closing) < tonumber(held)) then
  due = closing
end
if redis.call('EXISTS', KEYS[2]) == 1 or redis.call('EXISTS', KEYS[3]) == 1
  or (due and tonumber(due) <= now) then
  if ARGV[3] == '1' then
    redis.call('DEL', KEYS[1])
  end
  return {'more'}
end
redis.call('DEL', KEYS[1])
if due then
  redis.call('HSET', KEYS[6], ARGV[1], 'resting')
  return {'resting', due}
end
redis.call('HDEL', KEYS[6], ARGV[1])
return {'empty'}
