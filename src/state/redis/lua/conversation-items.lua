-- Items of a conversation, kept alive by the reading. KEYS: head, items, commits. ARGV: first, last, as LRANGE has them.
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], TTL_MS)
end
return redis.call('LRANGE', KEYS[2], ARGV[1], ARGV[2])
