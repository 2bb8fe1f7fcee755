-- Records how attempts ended. What was recorded before (its answer was lost) is passed over.
--
-- KEYS  1 owner  2 queue  3 taken  4 suspects  5 held  6 stats  7 dead  8 inbox  9 finished
-- ARGV  1 prefix  2 lane  3 handler  4 token  5 lease (ms)  then operations:
--       finish  status worker record n, and n entries    done or skipped in their first attempts
--       end     entry status attempts failures record    done, skipped or dead: it leaves the lane
--       retry   entry attempts failures record conversation wait (ms) n, and n entries behind it
--       remember  entry conversation ttl (s) state    goes before the end of the entry
--       back    entry conversation              taken, but not begun: back to where it came from,
--                                               last one first
--       resume  conversation                    its given events are done: it may have more
--       over    key entry blocked (ms)          the delivery of the key's batch has ended; the key is ''
--                                               where the batch can't be read any more
-- What was purged meanwhile is counted as that, and leaves nothing.
-- Returns 1, or false if the caller no longer owns the lane.

if redis.call('GET', KEYS[1]) ~= ARGV[4] then
  return false
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])

local prefix, lane, handler = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local some_suspect = redis.call('EXISTS', KEYS[4]) == 1
local purged = prefix .. 'purged'
local some_purged = redis.call('EXISTS', purged) == 1
local counts = {}

-- Returns whether the entry was purged while it was in the lane (`purge.lua`): then nothing of it is kept.
local function forgets(entry)
  if not (some_purged and redis.call('ZSCORE', purged, entry)) then
    return false
  end
  redis.call('UNLINK', prefix .. 'event:' .. entry)
  return true
end

-- Returns whether the entry was still taken.
local function leave(entry)
  if some_suspect then
    redis.call('SREM', KEYS[4], entry)
  end
  return redis.call('SREM', KEYS[3], entry) == 1
end

local function finish(status, worker, packed, entries)
  if some_suspect then
    redis.call('SREM', KEYS[4], unpack(entries))
  end
  local left = redis.call('SREM', KEYS[3], unpack(entries))
  if left > 0 then
    redis.call('XADD', KEYS[9], '*', 'handler', handler, 'status', status, 'worker', worker, 'deliveries', packed)
    counts[status] = (counts[status] or 0) + left
  end
  if some_purged then
    for _, entry in ipairs(entries) do
      forgets(entry)
    end
  end
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

-- An event that was purged leaves the lane; what waits behind it in its conversation may go on.
local function drop(conversation)
  counts.purged = (counts.purged or 0) + 1
  if redis.call('EXISTS', parked_key(conversation)) == 1 then
    redis.call('ZADD', KEYS[5], 0, conversation)
  else
    redis.call('ZREM', KEYS[5], conversation)
  end
end

local function read_letter(entry)
  local fields = {}
  for _, name in ipairs({'id', 'source', 'category', 'conversation', 'identity', 'received', 'body', 'replay'}) do
    local value = redis.call('HGET', prefix .. 'letter:' .. entry, name)
    if value then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  return fields
end

-- A dead batch keeps copies of its events, in a stream under their own entries: a retry finds them there
-- when they have left the inbox. (One that was gathered by a letter's retry may have left it already.)
local function keep_events(batch)
  local copies = prefix .. 'batch:' .. batch[2]
  if redis.call('EXISTS', copies) == 1 then
    return
  end
  for _, entry in ipairs(cjson.decode(batch[14]).events) do
    local found = redis.call('XRANGE', KEYS[8], entry, entry)[1]
    local fields = found and found[2] or read_letter(entry)
    if #fields > 0 then
      redis.call('XADD', copies, entry, unpack(fields))
    end
  end
end

-- What was gathered for the key meanwhile closes at the time at which it would have closed anyway.
local function free(key, entry, blocked)
  local base = prefix .. 'lane:' .. lane .. ':'
  local closed, gathering = base .. 'closed', base .. 'gathering'
  local all = key == '' and redis.call('HGETALL', closed) or {}
  for i = 1, #all, 2 do
    key = all[i + 1] == entry and all[i] or key
  end
  if redis.call('HGET', closed, key) ~= entry then
    return
  end
  redis.call('HDEL', closed, key)
  redis.call('ZREM', base .. 'kept', 'closed ' .. key)
  local due = redis.call('ZSCORE', gathering, key)
  if due then
    redis.call('ZADD', gathering, tonumber(due) - blocked, key)
  end
end

local i = 6
while i <= #ARGV do
  local operation = ARGV[i]
  if operation == 'finish' then
    local n = tonumber(ARGV[i + 4])
    finish(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], {unpack(ARGV, i + 5, i + 4 + n)})
    i = i + 5 + n
  elseif operation == 'end' then
    local entry, status = ARGV[i + 1], ARGV[i + 2]
    local left = leave(entry)
    if left and forgets(entry) then
      counts.purged = (counts.purged or 0) + 1
    elseif left then
      record(entry, status, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
      if status == 'dead' then
        redis.call('ZADD', KEYS[7], now, entry .. ' ' .. handler)
        local found = redis.call('XRANGE', KEYS[8], entry, entry)[1]
        if found then
          redis.call('HSET', prefix .. 'letter:' .. entry, unpack(found[2]))
          if found[2][4] == 'batch' then
            keep_events(found[2])
          end
        end
      end
    end
    i = i + 6
  elseif operation == 'remember' then
    local is_purged = some_purged and redis.call('ZSCORE', purged, ARGV[i + 1])
    if not is_purged and redis.call('SISMEMBER', KEYS[3], ARGV[i + 1]) == 1 then
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
      if leave(ARGV[behind]) and not forgets(ARGV[behind]) then
        redis.call('LPUSH', key, ARGV[behind])
      end
    end
    local left = leave(entry)
    if left and forgets(entry) then
      drop(conversation)
    elseif left then
      record(entry, 'retrying', ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
      redis.call('LPUSH', key, entry)
      redis.call('ZADD', KEYS[5], now + tonumber(ARGV[i + 6]), conversation)
    end
    i = i + 8 + n
  elseif operation == 'back' then
    local entry, conversation = ARGV[i + 1], ARGV[i + 2]
    local left = redis.call('SREM', KEYS[3], entry) == 1
    if left and forgets(entry) then
      drop(conversation)
    elseif left then
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
  elseif operation == 'over' then
    free(ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]))
    i = i + 4
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
