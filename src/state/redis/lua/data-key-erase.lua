-- Erases a data key. A mark stays for a while, so that no replica that still holds the key in memory
-- stores it again.
-- KEYS: data key.
-- ARGV: time to live of the mark.
if redis.call('DEL', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'erased', '1')
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 1
