-- Leaves a conversation's queue and publishes the new head.
-- KEYS: queue.
-- ARGV: response, channel, score that the response must have
-- (absent: any).
local place = redis.call('ZRANK', KEYS[1], ARGV[1])
if not place or (ARGV[3] and redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[3]) then
  return 0
end
redis.call('ZREM', KEYS[1], ARGV[1])
local head = place == 0 and redis.call('ZRANGE', KEYS[1], 0, 0)[1]
if head then
  redis.call(PUBLISH, ARGV[2], 'h' .. head)
end
return 1
