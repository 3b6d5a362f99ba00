-- One item as it is written, its conversation kept alive by the reading.
-- KEYS: head, items, commits.
-- ARGV: id, how it is written in an item.
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], TTL_MS)
end
for at = 0, redis.call('LLEN', KEYS[2]) - 1, 8 do
  for _, item in ipairs(redis.call('LRANGE', KEYS[2], at, at + 7)) do
    -- Most items are looked at and not parsed.
    if string.find(item, ARGV[2], 1, true) then
      local read, stored = pcall(cjson.decode, item)
      if read and type(stored) == 'table' and type(stored.item) == 'table' and stored.item.id == ARGV[1] then
        return item
      end
    end
  end
end
return false
