-- Marks an idempotency key's response as begun, for the use that holds it only; a key that was forgotten nobody else holds.
-- KEYS: the key. ARGV: what it holds before, what it holds then, time to live. Returns 1 where it stands for this use.
local held = redis.call('GET', KEYS[1])
if held == ARGV[2] then
  return 1
end
if held and held ~= ARGV[1] then
  return 0
end
if held then
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
