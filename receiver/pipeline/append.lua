-- Appends a group of events to the inbox: all of them or none, and never once the writer is fenced off.
--
-- KEYS  1 inbox  2 writer
-- ARGV  1 the group's number  2 seconds that the writer is remembered  3 limit of the inbox, or 0
--       4 how many fields the events have: 7, or 8 for replays
--       then for each event: id, source, category, conversation, identity, received, body and replay
-- Returns 1, 0 if the inbox is too long, or false if the writer was fenced off.

if redis.call('HEXISTS', KEYS[2], 'fenced') == 1 then
  return false
end
local limit, fields = tonumber(ARGV[3]), tonumber(ARGV[4])
if limit > 0 and redis.call('XLEN', KEYS[1]) + (#ARGV - 4) / fields > limit then
  return 0
end
redis.call('HSET', KEYS[2], 'group', ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[2])
for i = 5, #ARGV, fields do
  if fields == 7 then
    redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'source', ARGV[i + 1], 'category', ARGV[i + 2],
      'conversation', ARGV[i + 3], 'identity', ARGV[i + 4], 'received', ARGV[i + 5], 'body', ARGV[i + 6])
  else
    redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'source', ARGV[i + 1], 'category', ARGV[i + 2],
      'conversation', ARGV[i + 3], 'identity', ARGV[i + 4], 'received', ARGV[i + 5], 'body', ARGV[i + 6],
      'replay', ARGV[i + 7])
  end
end
return 1
