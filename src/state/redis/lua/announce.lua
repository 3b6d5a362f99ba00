-- Announces a response to the watchers of its conversation: stores it for watchers that miss the
-- message, then publishes it. Idempotent.
-- KEYS: announced.
-- ARGV: response, channel, most announcements stored.
if not redis.call('LPOS', KEYS[1], ARGV[1]) then
  redis.call('RPUSH', KEYS[1], ARGV[1])
  redis.call('LTRIM', KEYS[1], -tonumber(ARGV[3]), -1)
end
redis.call('PEXPIRE', KEYS[1], ENDED_MS)
redis.call(PUBLISH, ARGV[2], 'a' .. ARGV[1])
return 1
