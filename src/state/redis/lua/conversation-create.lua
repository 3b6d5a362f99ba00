-- Writes a conversation and its first items, which are within the bounds.
-- KEYS: head, items, commits.
-- ARGV: owner, created, updated, metadata, title and the item that it is of ('' if there is none),
-- class of its creator ('' if there is none), items...
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'created', ARGV[2], 'updated', ARGV[3], 'metadata', ARGV[4])
redis.call('HSET', KEYS[1], 'title', ARGV[5], 'title_item', ARGV[6])
if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[1], 'class', ARGV[7])
end
for i = 8, #ARGV do
  redis.call('RPUSH', KEYS[2], ARGV[i])
end
local ttl = ttl_of(KEYS[1])
redis.call('PEXPIRE', KEYS[1], ttl)
redis.call('PEXPIRE', KEYS[2], ttl)
return 1
