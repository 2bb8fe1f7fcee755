-- Returns what a lane holds that was accepted before a time, in one look: between two, entries change places.
--
-- KEYS  1 queue  2 taken  3 held
-- ARGV  1 the beginning of the names of parked lists  2 the time (ms)  3 how many are looked at in a list
-- Returns {from when on (ms) not all were looked at, entries}.

local before, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local cut, found = before, {}

-- A list is in the order of acceptance. (But for letters that are tried again: those have copies.)
local function look(list)
  local entries = redis.call('LRANGE', list, 0, most)
  for i, entry in ipairs(entries) do
    local ms = tonumber(string.match(entry, '^%d+'))
    if ms >= cut then
      return
    end
    if i > most then
      cut = ms
      return
    end
    found[#found + 1] = entry
  end
end

look(KEYS[1])
for _, conversation in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  look(ARGV[1] .. conversation)
  if #found > 10 * most then
    return {0, {}} -- too much of it waits apart to be told in one step
  end
end
for _, entry in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  found[#found + 1] = entry
end
return {string.format('%.0f', cut), found}
