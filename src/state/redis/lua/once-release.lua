-- Frees an idempotency key, by the use that holds it only. KEYS: the key. ARGV: what it holds then.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
