-- Records how attempts ended. What was recorded before (its answer was lost) is passed over.
--
-- KEYS  1 owner  2 queue  3 taken  4 suspects  5 held  6 stats  7 dead  8 inbox
-- ARGV  1 prefix  2 lane  3 handler  4 token  5 lease (ms)  then operations:
--       end     entry status attempts failures record    done, skipped or dead: it leaves the lane
--       retry   entry attempts failures record conversation wait (ms) n, and n entries behind it
--       remember  entry conversation ttl (s) state    goes before the end of the entry
--       back    entry conversation              taken, but not begun: back to where it came from,
--                                               last one first
--       resume  conversation                    its given events are done: it may have more
-- Returns 1, or false if the caller no longer owns the lane.

if redis.call('GET', KEYS[1]) ~= ARGV[4] then
  return false
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])

local prefix, lane, handler = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local some_suspect = redis.call('EXISTS', KEYS[4]) == 1
local counts = {}

-- Returns whether the entry was still taken.
local function leave(entry)
  if some_suspect then
    redis.call('SREM', KEYS[4], entry)
  end
  return redis.call('SREM', KEYS[3], entry) == 1
end

local function record(entry, status, attempts, failures, attempt)
  local state = status .. ' ' .. attempts .. ' ' .. failures
  if attempt == '' then
    redis.call('HSET', prefix .. 'event:' .. entry, handler, state)
  else
    redis.call('HSET', prefix .. 'event:' .. entry, handler, state,
      handler .. ' ' .. attempts, attempt)
  end
  counts[status] = (counts[status] or 0) + 1
end

local function parked_key(conversation)
  return prefix .. 'lane:' .. lane .. ':parked:' .. conversation
end

local i = 6
while i <= #ARGV do
  local operation = ARGV[i]
  if operation == 'end' then
    local entry, status = ARGV[i + 1], ARGV[i + 2]
    if leave(entry) then
      record(entry, status, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
      if status == 'dead' then
        redis.call('ZADD', KEYS[7], now, entry .. ' ' .. handler)
        local found = redis.call('XRANGE', KEYS[8], entry, entry)[1]
        if found then
          redis.call('HSET', prefix .. 'letter:' .. entry, unpack(found[2]))
        end
      end
    end
    i = i + 6
  elseif operation == 'remember' then
    if redis.call('SISMEMBER', KEYS[3], ARGV[i + 1]) == 1 then
      local key = prefix .. 'state:' .. handler .. ':' .. ARGV[i + 2]
      if ARGV[i + 4] == '' then
        redis.call('DEL', key)
      else
        redis.call('SET', key, ARGV[i + 4], 'EX', ARGV[i + 3])
      end
    end
    i = i + 5
  elseif operation == 'retry' then
    local entry, conversation, n = ARGV[i + 1], ARGV[i + 5], tonumber(ARGV[i + 7])
    local key = parked_key(conversation)
    for behind = i + 7 + n, i + 8, -1 do
      if leave(ARGV[behind]) then
        redis.call('LPUSH', key, ARGV[behind])
      end
    end
    if leave(entry) then
      record(entry, 'retrying', ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
      redis.call('LPUSH', key, entry)
      redis.call('ZADD', KEYS[5], now + tonumber(ARGV[i + 6]), conversation)
    end
    i = i + 8 + n
  elseif operation == 'back' then
    local entry, conversation = ARGV[i + 1], ARGV[i + 2]
    if redis.call('SREM', KEYS[3], entry) == 1 then
      local score = redis.call('ZSCORE', KEYS[5], conversation)
      if score then
        redis.call('LPUSH', parked_key(conversation), entry)
        if score == 'inf' then
          redis.call('ZADD', KEYS[5], 0, conversation)
        end
      else
        redis.call('LPUSH', KEYS[2], entry)
      end
    end
    i = i + 3
  else
    if redis.call('ZSCORE', KEYS[5], ARGV[i + 1]) == 'inf' then
      redis.call('ZADD', KEYS[5], 0, ARGV[i + 1])
    end
    i = i + 2
  end
end
for status, n in pairs(counts) do
  redis.call('HINCRBY', KEYS[6], status .. ' ' .. handler, n)
end
return 1
