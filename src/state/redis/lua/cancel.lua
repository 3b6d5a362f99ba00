-- Requests a cancel: stores it, then publishes it.
-- KEYS: meta.
-- ARGV: response, channel.
-- Returns 0 if there is no running turn.
local known = redis.call('HMGET', KEYS[1], 'fence', 'ended')
if not known[1] or known[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'cancel', '1')
redis.call(PUBLISH, ARGV[2], ARGV[1])
return 1
