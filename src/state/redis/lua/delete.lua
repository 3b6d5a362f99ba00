-- Removes a log and publishes an empty message, so that its followers read the log and find it
-- gone.
-- KEYS: meta, log, leases.
-- ARGV: response, channel.
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call(PUBLISH, ARGV[2], '')
return 1
