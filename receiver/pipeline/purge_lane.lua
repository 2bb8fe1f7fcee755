-- Removes what a lane keeps under a person's id: a conversation that waits apart, and a gathered batch.
-- (Events that wait in its queue are dropped when they are taken.)
--
-- ARGV  1 prefix  2 lane  3 the person's id
-- Returns how many keys were removed.

local person = ARGV[3]
local base = ARGV[1] .. 'lane:' .. ARGV[2] .. ':'
local removed = redis.call('DEL', base .. 'parked:' .. person, base .. 'gathered:' .. person)
removed = removed + redis.call('ZREM', base .. 'held', person) + redis.call('ZREM', base .. 'gathering', person)
removed = removed + redis.call('HDEL', base .. 'closed', person)
removed = removed + redis.call('ZREM', base .. 'kept', 'gathered ' .. person, 'closed ' .. person)
return removed -- a lane that is left empty is woken as any other, and ends
