-- A page of a log. KEYS: meta, log. ARGV: number to start after, limit, '1' where the head is wanted.
-- Returns nothing where there is no log, else: next number, '1' where it has ended, head, events...
local known = redis.call('HMGET', KEYS[1], 'next', 'ended')
if not known[1] then
  return false
end
local page = { known[1], known[2] or '', ARGV[3] == '1' and redis.call('HGET', KEYS[1], 'head') or '' }
if tonumber(ARGV[2]) > 0 then
  local entries = redis.call('XRANGE', KEYS[2], '0-' .. string.format('%.0f', ARGV[1] + 2), '+', 'COUNT', ARGV[2])
  for i = 1, #entries do
    page[#page + 1] = entries[i][2][2]
  end
end
return page
