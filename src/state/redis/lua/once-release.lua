-- Deletes an idempotency key if it holds one of these values.
-- KEYS: the key.
-- ARGV: values...
local held = redis.call('GET', KEYS[1])
for _, value in ipairs(ARGV) do
  if held == value then
    return redis.call('DEL', KEYS[1])
  end
end
return 0
