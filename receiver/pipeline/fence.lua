-- Fences a writer off: what it sent and Redis has not executed yet is refused from here on.
--
-- KEYS  1 writer
-- ARGV  1 seconds that the writer is remembered
-- Returns the last group that was appended, or 0.

redis.call('HSET', KEYS[1], 'fenced', '1')
redis.call('EXPIRE', KEYS[1], ARGV[1])
return tonumber(redis.call('HGET', KEYS[1], 'group') or '0')
