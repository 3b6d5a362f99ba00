-- Removes one item, given as it is written. KEYS: head, items, commits. ARGV: item.
-- Returns nothing where it is not there, else the conversation's owner and when it changed.
if redis.call('LREM', KEYS[2], 1, ARGV[1]) == 0 then
  return false
end
redis.call('HSET', KEYS[1], 'updated', redis.call('TIME')[1])
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], TTL_MS)
end
return redis.call('HMGET', KEYS[1], 'owner', 'updated')
