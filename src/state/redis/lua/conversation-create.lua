-- Writes a conversation and its first items. KEYS: head, items, commits. ARGV: owner, created, updated, metadata, most items, items...
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'created', ARGV[2], 'updated', ARGV[3], 'metadata', ARGV[4])
for i = 6, #ARGV do
  redis.call('RPUSH', KEYS[2], ARGV[i])
end
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[5]), -1)
redis.call('PEXPIRE', KEYS[1], TTL_MS)
redis.call('PEXPIRE', KEYS[2], TTL_MS)
return 1
