-- Confirms the response of an idempotency key, if this use holds the key. If the key has expired,
-- no other use holds it, and it is set.
-- KEYS: the key.
-- ARGV: value before, value after, time to live.
-- Returns 1 if this use holds the key.
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
