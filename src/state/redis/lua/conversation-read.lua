-- A conversation without its items, kept alive by the reading.
-- KEYS: head, items, commits.
-- ARGV: '1' where it is.
if ARGV[1] == '1' then
  for i = 1, 3 do
    redis.call('PEXPIRE', KEYS[i], TTL_MS)
  end
end
return redis.call('HMGET', KEYS[1], 'owner', 'created', 'updated', 'metadata', 'title')
