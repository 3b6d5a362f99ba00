-- Removes one item and the title that was derived from it.
-- KEYS: head, items, commits.
-- ARGV: item as it is stored, its id.
-- Returns nothing if the conversation is gone, else its owner and the time of its change. Safe to
-- repeat.
local known = redis.call('HMGET', KEYS[1], 'owner', 'bytes', 'bytes_of', 'title_item')
if not known[1] then
  return false
end
local newest = ' ' .. (redis.call('LINDEX', KEYS[3], -1) or '')
local length = redis.call('LLEN', KEYS[2])
if redis.call('LREM', KEYS[2], 1, ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'updated', redis.call('TIME')[1])
  if known[2] and known[3] == length .. newest then
    -- An encrypted item counts with the size of its JSON, which it names.
    local size = tonumber(string.match(ARGV[1], '^{"item":{"id":"[^"]*"},"size":(%d+),') or #ARGV[1])
    redis.call('HSET', KEYS[1], 'bytes', string.format('%.0f', known[2] - size), 'bytes_of', (length - 1) .. newest)
  end
  if known[4] == ARGV[2] then
    redis.call('HDEL', KEYS[1], 'title', 'title_item')
  end
end
local ttl = ttl_of(KEYS[1])
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ttl)
end
return redis.call('HMGET', KEYS[1], 'owner', 'updated')
