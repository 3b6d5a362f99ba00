-- Creates a log with its first lease and its first events. No follower can exist yet, so nothing is
-- published.
-- KEYS: meta, log, leases.
-- ARGV: response, head, '1' if the response is stored, nonce of the call, how long the
-- log is stored after its end ('': as usual), events from number 0 on...
-- Returns 1, or 0 if another call has created it.
local time = redis.call('TIME')
local lease = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + LEASE_MS)
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('HGET', KEYS[1], 'nonce') == ARGV[4] and 1 or 0
end
local known = { 'head', ARGV[2], 'store', ARGV[3], 'nonce', ARGV[4], 'fence', 1, 'next', #ARGV - 5, 'lease', lease }
redis.call('HSET', KEYS[1], unpack(known))
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'keep', ARGV[5])
end
redis.call('PEXPIRE', KEYS[1], RUNNING_MS)
redis.call('DEL', KEYS[2])
for i = 6, #ARGV do
  redis.call('XADD', KEYS[2], '0-' .. (i - 5), 'e', ARGV[i])
end
redis.call('PEXPIRE', KEYS[2], RUNNING_MS)
redis.call('ZADD', KEYS[3], lease, ARGV[1])
redis.call('PEXPIRE', KEYS[3], LEASE_MS + RUNNING_MS)
return 1
