-- Creates an empty log with its first lease. KEYS: meta, log, leases. ARGV: response, head, '1' where it is to be stored, nonce of the call.
-- Returns 1; 0 where another call has created it.
local time = redis.call('TIME')
local lease = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + LEASE_MS)
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('HGET', KEYS[1], 'nonce') == ARGV[4] and 1 or 0
end
redis.call('HSET', KEYS[1], 'head', ARGV[2], 'store', ARGV[3], 'nonce', ARGV[4], 'fence', 1, 'next', 0, 'lease', lease)
redis.call('PEXPIRE', KEYS[1], RUNNING_MS)
redis.call('DEL', KEYS[2])
redis.call('ZADD', KEYS[3], lease, ARGV[1])
redis.call('PEXPIRE', KEYS[3], LEASE_MS + RUNNING_MS)
return 1
