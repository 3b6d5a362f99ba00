-- Removes a log and lets its followers look. KEYS: meta, log, leases. ARGV: response, channel.
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call(PUBLISH, ARGV[2], '')
return 1
