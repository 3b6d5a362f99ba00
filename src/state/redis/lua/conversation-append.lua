-- Appends the items of a commit, once. KEYS: head, items, commits. ARGV: commit, most items, most commits, items...
-- Returns nothing where the conversation is gone, else its owner and when it changed.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
if not redis.call('LPOS', KEYS[3], ARGV[1]) then
  for i = 4, #ARGV do
    redis.call('RPUSH', KEYS[2], ARGV[i])
  end
  redis.call('LTRIM', KEYS[2], -tonumber(ARGV[2]), -1)
  redis.call('RPUSH', KEYS[3], ARGV[1])
  redis.call('LTRIM', KEYS[3], -tonumber(ARGV[3]), -1)
  redis.call('HSET', KEYS[1], 'updated', redis.call('TIME')[1])
end
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], TTL_MS)
end
return redis.call('HMGET', KEYS[1], 'owner', 'updated')
