-- Records a change of a conversation in its owner's index, which stores the newest conversations.
-- KEYS: index.
-- ARGV: conversation, time, most kept.
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[3]) - 1)
redis.call('PEXPIRE', KEYS[1], LONGEST_TTL_MS + INDEX_SLACK_MS)
return 1
