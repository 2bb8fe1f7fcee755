-- Closes the batches that are due: each becomes an event of its own, in the inbox and in the lane.
--
-- KEYS  1 owner  2 queue  3 gathering  4 closed  5 kept  6 inbox
-- ARGV  1 prefix  2 lane  3 handler  4 token  5 lease (ms)
--       6 how many batches  7 how many events, about  8 a number of 48 bits, by chance
--       9 quiet (ms)  10 longest (ms)  11 most  12 blocked (ms)
-- Returns how many were closed, or false if the caller no longer owns the lane.

if redis.call('EXISTS', KEYS[3]) == 0 then
  return 0
end
if redis.call('GET', KEYS[1]) ~= ARGV[4] then
  return false
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])

local prefix, lane, handler = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local room, chance, closed = tonumber(ARGV[7]), tonumber(ARGV[8]), 0
local quiet, longest, most, blocked = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])

local function before(a, b)
  if a[1] ~= b[1] then
    return a[1] < b[1]
  end
  return a[2] < b[2]
end

-- The entries that are gathered, in the order of the inbox. (A small hash has them nearly so.)
local function in_order(gathered)
  local entries, sorted = {}, true
  for _, entry in ipairs(redis.call('HKEYS', gathered)) do
    local ms, number = string.match(entry, '^(%d+)-(%d+)$')
    if ms then
      entries[#entries + 1] = {tonumber(ms), tonumber(number), entry}
      sorted = sorted and (#entries == 1 or before(entries[#entries - 1], entries[#entries]))
    end
  end
  if not sorted then
    table.sort(entries, before)
  end
  return entries
end

-- What is beyond the most begins a new window, behind the batch that closes now.
local function leave(key, gathered, entries)
  for i = 1, most do
    redis.call('HDEL', gathered, entries[i][3])
  end
  local since, left = entries[most + 1][1], #entries - most
  local due = left >= most and now or math.min(now + quiet, since + longest)
  redis.call('HSET', gathered, 'since', since)
  redis.call('ZADD', KEYS[5], since, 'gathered ' .. key)
  redis.call('ZADD', KEYS[3], due + blocked, key)
end

local function close(key, gathered, entries)
  local batched = {}
  for i = 1, math.min(#entries, most) do
    batched[i] = entries[i][3]
  end
  local number = (chance + closed) % 2 ^ 48
  local id = string.format('%012x%06x%06x', now, math.floor(number / 2 ^ 24), number % 2 ^ 24)
  local body = '{"category":"receiver:batch","key":' .. cjson.encode(key) .. ',"handler":"' .. handler
    .. '","events":["' .. table.concat(batched, '","') .. '"]}'
  local batch = redis.call('XADD', KEYS[6], '*', 'id', id, 'source', 'batch', 'category', 'receiver:batch',
    'conversation', key, 'identity', '', 'received', now, 'body', body)
  redis.call('HSET', prefix .. 'event:' .. batch, handler, 'waiting 0 0')
  redis.call('RPUSH', KEYS[2], batch)
  redis.call('HSET', KEYS[4], key, batch)
  redis.call('ZADD', KEYS[5], entries[1][1], 'closed ' .. key)
  closed = closed + 1
end

for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, ARGV[6])) do
  local gathered = prefix .. 'lane:' .. lane .. ':gathered:' .. key
  local entries = in_order(gathered)
  if #entries > 0 then -- else somebody has deleted them
    close(key, gathered, entries)
  end
  if #entries > most then
    leave(key, gathered, entries)
  else
    redis.call('UNLINK', gathered)
    redis.call('ZREM', KEYS[5], 'gathered ' .. key)
    redis.call('ZREM', KEYS[3], key)
  end
  room = room - #entries
  if room <= 0 then
    break
  end
end
return closed
