-- Announces a response to those who watch its conversation: kept for who cannot hear it now, then told. Announcing again keeps it once.
-- KEYS: announced. ARGV: response, channel, how many are kept.
if not redis.call('LPOS', KEYS[1], ARGV[1]) then
  redis.call('RPUSH', KEYS[1], ARGV[1])
  redis.call('LTRIM', KEYS[1], -tonumber(ARGV[3]), -1)
end
redis.call('PEXPIRE', KEYS[1], ENDED_MS)
redis.call(PUBLISH, ARGV[2], 'a' .. ARGV[1])
return 1
