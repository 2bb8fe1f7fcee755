-- Removes what a lane keeps under a person's id: a conversation that waits apart, and a gathered batch.
-- (Events that wait in its queue are dropped when they are taken.)
--
-- KEYS  1 lanes
-- ARGV  1 prefix  2 lane  3 the person's id
-- Returns how many keys were removed.

local lane, person = ARGV[2], ARGV[3]
local base = ARGV[1] .. 'lane:' .. lane .. ':'
local removed = redis.call('DEL', base .. 'parked:' .. person, base .. 'gathered:' .. person)
removed = removed + redis.call('ZREM', base .. 'held', person) + redis.call('ZREM', base .. 'gathering', person)
removed = removed + redis.call('HDEL', base .. 'closed', person)
removed = removed + redis.call('ZREM', base .. 'kept', 'gathered ' .. person, 'closed ' .. person)
if redis.call('HGET', KEYS[1], lane) == 'resting'
  and redis.call('EXISTS', base .. 'queue', base .. 'taken', base .. 'held', base .. 'gathering') == 0 then
  redis.call('HDEL', KEYS[1], lane)
end
return removed
