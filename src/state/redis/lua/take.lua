-- Takes tokens from a bucket, by the clock of Redis.
-- KEYS: bucket.
-- ARGV: capacity, refill per second, cost, '1' to take it even if the bucket
-- holds less, nonce of the call.
-- Returns 1 if the cost was allowed, and the level after it, as text because Redis truncates
-- numbers. A level below zero is a debt that refills. `recent` lists the nonces of the newest calls
-- that changed the level. A call whose nonce is listed was sent again after a lost reply: it
-- changes nothing. The key lives for at least REPEAT_MS, so that the list outlasts every repeat.
local capacity, refill, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local always = ARGV[4] == '1'
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local known = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'recent')
local recent = known[3] or ' '
-- Guard against a clock that runs backwards, and cap the level if the configured capacity became
-- smaller.
local passed = known[2] and math.max(0, now - tonumber(known[2])) or 0
local before = math.min(capacity, (tonumber(known[1] or capacity)) + passed * refill / 1000)
if string.find(recent, ' ' .. ARGV[5] .. ' ', 1, true) then
  return { 1, string.format('%.17g', before) }
end
local allowed = always or cost <= 0 or before + 1e-9 >= cost
local tokens = before
if always then
  tokens = math.min(capacity, before - cost)
elseif allowed then
  -- Rounding must not leave a debt, and a cost of 0 must not pay one.
  tokens = math.min(capacity, math.max(before - cost, math.min(before, 0)))
end
if cost ~= 0 and allowed then
  recent = string.sub(recent .. ARGV[5] .. ' ', -RECENT_BYTES_MAX)
end
if tokens < capacity or recent ~= ' ' then
  redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.3f', now), 'recent', recent)
  local full = refill > 0 and (capacity - tokens) * 1000 / refill or 604800000
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(math.min(full, 604800000) + 1000, REPEAT_MS)))
else
  redis.call('DEL', KEYS[1])
end
return { allowed and 1 or 0, string.format('%.17g', tokens) }
