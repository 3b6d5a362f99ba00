-- Reads one item and extends the conversation's life.
-- KEYS: head, items, commits.
-- ARGV: id of the item, the id as it is written in the JSON of an item.
local ttl = ttl_of(KEYS[1])
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ttl)
end
for at = 0, redis.call('LLEN', KEYS[2]) - 1, 8 do
  for _, item in ipairs(redis.call('LRANGE', KEYS[2], at, at + 7)) do
    -- The text search avoids parsing most items.
    if string.find(item, ARGV[2], 1, true) then
      local read, stored = pcall(cjson.decode, item)
      if read and type(stored) == 'table' and type(stored.item) == 'table' and stored.item.id == ARGV[1] then
        return item
      end
    end
  end
end
return false
