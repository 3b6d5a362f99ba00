-- Reads a page of a log.
-- KEYS: meta, log.
-- ARGV: number to start after, limit, '1' to return the head.
-- Returns nothing if there is no log, else: next number, '1' if it has ended, head, events...
-- Returns '' if an event of the page is missing. A packed log has the blocks of the page instead of
-- events.
local known = redis.call('HMGET', KEYS[1], 'next', 'ended')
if not known[1] then
  return false
end
local page = { known[1], known[2] or '', ARGV[3] == '1' and redis.call('HGET', KEYS[1], 'head') or '' }
if tonumber(ARGV[2]) > 0 and known[2] and redis.call('HEXISTS', KEYS[1], 'z0') == 1 then
  local last = math.min(known[1] - 1, ARGV[1] + ARGV[2])
  for block = math.floor((ARGV[1] + 1) / BLOCK_EVENTS), math.floor(last / BLOCK_EVENTS) do
    local packed = redis.call('HGET', KEYS[1], 'z' .. string.format('%.0f', block))
    if not packed then
      return ''
    end
    page[#page + 1] = packed
  end
elseif tonumber(ARGV[2]) > 0 then
  local first = ARGV[1] + 2
  local entries = redis.call('XRANGE', KEYS[2], '0-' .. string.format('%.0f', first), '+', 'COUNT', ARGV[2])
  -- Entry 0-(n+1) is event n, and ids only grow. So if the number of entries equals the number of
  -- the last one, none is missing.
  local last = math.min(known[1], first + ARGV[2] - 1)
  if last >= first and (#entries ~= last - first + 1 or entries[#entries][1] ~= '0-' .. string.format('%.0f', last)) then
    return ''
  end
  for i = 1, #entries do
    page[#page + 1] = entries[i][2][2]
  end
end
return page
