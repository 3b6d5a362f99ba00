-- Passes responses whose lease has expired to the caller, up to a number.
-- KEYS: lease indexes, in one slot.
-- ARGV: limit.
-- Returns response, fence, response, fence... The other keys are derived from the bucket, so they
-- are in the same slot.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = string.format('%.0f', now + LEASE_MS)
local limit = tonumber(ARGV[1])
local adopted = {}
for _, leases in ipairs(KEYS) do
  local bucket = string.sub(leases, 1, -7)
  local room = limit - #adopted / 2
  if room > 0 then
    local expired = redis.call('ZRANGEBYSCORE', leases, '-inf', string.format('%.0f', now), 'LIMIT', 0, room)
    for _, response in ipairs(expired) do
      local meta = bucket .. 'meta:' .. response
      local known = redis.call('HMGET', meta, 'fence', 'ended')
      if not known[1] or known[2] then
        redis.call('ZREM', leases, response)
      else
        adopted[#adopted + 1] = response
        adopted[#adopted + 1] = redis.call('HINCRBY', meta, 'fence', 1)
        redis.call('HSET', meta, 'lease', lease)
        redis.call('ZADD', leases, lease, response)
        redis.call('PEXPIRE', leases, LEASE_MS + RUNNING_MS)
        redis.call('PEXPIRE', meta, RUNNING_MS)
        redis.call('PEXPIRE', bucket .. 'log:' .. response, RUNNING_MS)
      end
    end
  end
end
return adopted
