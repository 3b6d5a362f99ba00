-- Ends a lease early.
-- KEYS: meta, leases.
-- ARGV: response, fence.
local known = redis.call('HMGET', KEYS[1], 'fence', 'ended')
if known[1] == ARGV[2] and not known[2] then
  redis.call('HSET', KEYS[1], 'lease', 0)
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
end
return 1
