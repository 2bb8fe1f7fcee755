-- Takes or renews the dispatcher's lease.
-- KEYS 1 lease   ARGV 1 token  2 lease (ms)   Returns 1 to the leader, else 0.
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
