-- Replaces the metadata.
-- KEYS: head, items, commits.
-- ARGV: metadata.
-- Returns nothing if the conversation is gone, else the conversation.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
redis.call('HSET', KEYS[1], 'metadata', ARGV[1], 'updated', redis.call('TIME')[1])
local ttl = ttl_of(KEYS[1])
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ttl)
end
return redis.call('HMGET', KEYS[1], 'owner', 'created', 'updated', 'metadata', 'title')
