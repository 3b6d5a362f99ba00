-- Renews a lease without appending.
-- KEYS: meta, log, leases.
-- ARGV: response, fence.
-- Returns 0 not held, 1 held, 2 held and a cancel was requested.
local known = redis.call('HMGET', KEYS[1], 'fence', 'ended', 'cancel')
if known[1] ~= ARGV[2] or known[2] then
  return 0
end
local time = redis.call('TIME')
local lease = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + LEASE_MS)
redis.call('HSET', KEYS[1], 'lease', lease)
redis.call('ZADD', KEYS[3], lease, ARGV[1])
redis.call('PEXPIRE', KEYS[3], LEASE_MS + RUNNING_MS)
redis.call('PEXPIRE', KEYS[1], RUNNING_MS)
redis.call('PEXPIRE', KEYS[2], RUNNING_MS)
return known[3] and 2 or 1
