-- Reads a page of a conversation's items and extends the conversation's life.
-- KEYS: head, items, commits.
-- ARGV: '1' for the oldest first, most items, most bytes, id of the item to start after ('' and
-- unknown ids start at the beginning), that id as it is written in an item, place to continue at (0
-- for a first page), the entry before that place.
-- Returns '1' if more items follow, the place after the page, then items...: at least one, whatever
-- its size.
local ttl = ttl_of(KEYS[1])
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ttl)
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
-- The list may have lost its oldest entries since the previous page. Continuing at the same place
-- would skip items, so the entry before it must be the one that the previous page ended with;
-- otherwise the page starts over.
local start = tonumber(ARGV[6])
if start > 0 and redis.call('LINDEX', KEYS[2], ARGV[1] == '1' and start - 1 or -start) ~= ARGV[7] then
  start = 0
end
if start == 0 and ARGV[4] ~= '' then
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
local page, bytes = { '', 0 }, 0
each(start, function(item)
  -- An encrypted item counts with the size of its JSON, which it names.
  bytes = bytes + tonumber(string.match(item, '^{"item":{"id":"[^"]*"},"size":(%d+),') or #item)
  if #page - 2 >= tonumber(ARGV[2]) or (#page > 2 and bytes > tonumber(ARGV[3])) then
    page[1] = '1'
    return true
  end
  page[#page + 1] = item
end)
page[2] = start + #page - 2
return page
