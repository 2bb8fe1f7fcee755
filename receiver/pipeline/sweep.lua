-- Drops a page of events that are finished, from the midst of the inbox.
--
-- KEYS  1 inbox
-- ARGV  1 prefix  2 from which entry on  3 before which time (ms)  4 how many are looked at
--       then the entries that are not finished
-- Returns {how many were dropped, the last entry that was looked at or ''}.

local prefix, dropped, last = ARGV[1], 0, ''
local unfinished = {}
for i = 5, #ARGV do
  unfinished[ARGV[i]] = true
end
for _, event in ipairs(redis.call('XRANGE', KEYS[1], ARGV[2], '(' .. ARGV[3] .. '-0', 'COUNT', ARGV[4])) do
  last = event[1]
  if not unfinished[last] then
    if redis.call('EXISTS', prefix .. 'letter:' .. last) == 0 then
      redis.call('UNLINK', prefix .. 'event:' .. last)
    end
    redis.call('XDEL', KEYS[1], last)
    dropped = dropped + 1
  end
end
return {dropped, last}
