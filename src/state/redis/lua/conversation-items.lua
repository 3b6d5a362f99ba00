-- A page of a conversation's items, kept alive by the reading. KEYS: head, items, commits.
-- ARGV: '1' for the oldest first, most items, most bytes, id of the item to start after ('' and unknown ones: from the beginning), how that
-- id is written in an item. Returns '1' where there are more, then items...: at least one, whatever its size.
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], TTL_MS)
end
local size = redis.call('LLEN', KEYS[2])
local function each(from, take)
  for at = from, size - 1, 8 do
    local oldestFirst = ARGV[1] == '1'
    local chunk = oldestFirst and redis.call('LRANGE', KEYS[2], at, at + 7) or redis.call('LRANGE', KEYS[2], -at - 8, -at - 1)
    for i = 1, #chunk do
      if take(oldestFirst and chunk[i] or chunk[#chunk + 1 - i], at + i) then
        return
      end
    end
  end
end
local start = 0
if ARGV[4] ~= '' then
  each(0, function(item, place)
    if string.find(item, ARGV[5], 1, true) then
      local read, stored = pcall(cjson.decode, item)
      if read and type(stored) == 'table' and type(stored.item) == 'table' and stored.item.id == ARGV[4] then
        start = place
        return true
      end
    end
  end)
end
local page, bytes = { '' }, 0
each(start, function(item)
  bytes = bytes + #item
  if #page > tonumber(ARGV[2]) or (#page > 1 and bytes > tonumber(ARGV[3])) then
    page[1] = '1'
    return true
  end
  page[#page + 1] = item
end)
return page
