-- Counts by which keys the bodies of a page of the inbox, or of a dead batch's copies, are encrypted.
--
-- KEYS  1 the stream
-- ARGV  1 the first entry, or ( and the last one of the page before  2 how many  3 bytes of a body's head
--       4 what the head of an encrypted body begins with
-- Returns {} behind the end, else {the last entry, head, n, ...}; the head is '' for bodies that aren't encrypted.

local found = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
if #found == 0 then
  return {}
end
local counts = {}
for _, entry in ipairs(found) do
  local fields = entry[2]
  if fields[4] ~= 'batch' then -- a batch names entries, and is never encrypted
    local body = fields[14] or ''
    local head = string.sub(body, 1, #ARGV[4]) == ARGV[4] and string.sub(body, 1, tonumber(ARGV[3])) or ''
    counts[head] = (counts[head] or 0) + 1
  end
end
local told = {found[#found][1]}
for head, number in pairs(counts) do
  told[#told + 1] = head
  told[#told + 1] = number
end
return told
