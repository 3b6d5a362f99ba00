-- Takes from a token bucket by Redis' own time. KEYS: bucket. ARGV: capacity, refill a second, cost, 1 to take it whether or not it is there.
-- Returns 1 where it was allowed, and the level after it, as text since Redis cuts numbers. A level below zero is a debt that refills.
local capacity, refill, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local always = ARGV[4] == '1'
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local known = redis.call('HMGET', KEYS[1], 'tokens', 'at')
-- Time must not run back, and a bucket whose capacity was made smaller holds no more than that.
local passed = known[2] and math.max(0, now - tonumber(known[2])) or 0
local before = math.min(capacity, (tonumber(known[1] or capacity)) + passed * refill / 1000)
local allowed = always or cost <= 0 or before + 1e-9 >= cost
local tokens = before
if always then
  tokens = math.min(capacity, before - cost)
elseif allowed then
  -- A rounding must not leave a debt, and a look at a debt must not pay it.
  tokens = math.min(capacity, math.max(before - cost, math.min(before, 0)))
end
if tokens < capacity then
  redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.3f', now))
  local full = refill > 0 and (capacity - tokens) * 1000 / refill or 604800000
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min(full, 604800000) + 1000))
else
  redis.call('DEL', KEYS[1])
end
return { allowed and 1 or 0, string.format('%.17g', tokens) }
