-- Lists a response of a user and drops the oldest ones beyond the bound.
-- KEYS: list.
-- ARGV: response, time, most listed, how long the list is stored.
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[3]) - 1)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
