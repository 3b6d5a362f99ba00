-- Frees an idempotency key that stands for a response which is not confirmed. KEYS: the key. ARGV: what it holds then.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
