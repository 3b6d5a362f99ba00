-- Shortens the life of a data key, from now on and after each use.
-- KEYS: data key.
-- ARGV: time to live.
if redis.call('HEXISTS', KEYS[1], 'key') == 1 then
  redis.call('HSET', KEYS[1], 'life', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 1
