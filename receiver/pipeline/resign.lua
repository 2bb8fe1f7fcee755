-- Gives up a lease, the dispatcher's or a lane's, if it is still the one with this token.
-- KEYS 1 lease   ARGV 1 token
-- Returns 1, or 0 if it isn't.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
