-- Tells of the death of a lane's owner: the lane is free, and the next owner learns what happened.
--
-- KEYS  1 owner
-- ARGV  1 token  2 how many events its process had, in all lanes  3 what it died of
--       4 how long that is told (ms)
-- Returns 1, or 0 if the lane has another owner by now.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], 'dead ' .. ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])
return 1
