-- Replaces the stream of an ended log by compressed blocks in its meta, which keep the time to live
-- of the meta.
-- KEYS: meta, log.
-- ARGV: next number of the log, blocks...
-- Returns 1, or 0 if the log is gone, has not ended, or is packed already.
local known = redis.call('HMGET', KEYS[1], 'ended', 'next')
if known[1] ~= '1' or known[2] ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 0 then
  return 0
end
for i = 2, #ARGV do
  redis.call('HSET', KEYS[1], 'z' .. (i - 2), ARGV[i])
end
redis.call('UNLINK', KEYS[2])
return 1
