-- Reads a conversation without its items and extends its life.
-- KEYS: head, items, commits.
-- ARGV: '1' to extend its life.
if ARGV[1] == '1' then
  local ttl = ttl_of(KEYS[1])
  for i = 1, 3 do
    redis.call('PEXPIRE', KEYS[i], ttl)
  end
end
return redis.call('HMGET', KEYS[1], 'owner', 'created', 'updated', 'metadata', 'title')
