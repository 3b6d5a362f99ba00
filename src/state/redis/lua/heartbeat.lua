-- Writes a replica's heartbeat, which fails on a server that refuses writes.
-- KEYS: replicas.
-- ARGV: replica, milliseconds that a heartbeat
-- counts.
-- Returns the number of replicas.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - tonumber(ARGV[2])))
redis.call('PEXPIRE', KEYS[1], 60000)
return redis.call('ZCARD', KEYS[1])
