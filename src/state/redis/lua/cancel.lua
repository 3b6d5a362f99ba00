-- Asks for a cancel: durable, then told. KEYS: meta. ARGV: response, channel. Returns 0 where there is nothing to cancel.
local known = redis.call('HMGET', KEYS[1], 'fence', 'ended')
if not known[1] or known[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'cancel', '1')
redis.call(PUBLISH, ARGV[2], ARGV[1])
return 1
