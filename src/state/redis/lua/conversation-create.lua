-- Writes a conversation and its first items, which are within the bounds.
-- KEYS: head, items, commits.
-- ARGV: owner, created, updated, metadata, title and the item that it is of ('' if there is none),
-- items...
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'created', ARGV[2], 'updated', ARGV[3], 'metadata', ARGV[4])
redis.call('HSET', KEYS[1], 'title', ARGV[5], 'title_item', ARGV[6])
for i = 7, #ARGV do
  redis.call('RPUSH', KEYS[2], ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], TTL_MS)
redis.call('PEXPIRE', KEYS[2], TTL_MS)
return 1
