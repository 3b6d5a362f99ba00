-- Replaces the streams of ended logs by compressed blocks in their metas, which keep the times to
-- live of the metas.
-- KEYS, for each: meta, log.
-- ARGV, for each: next number of the log, number of blocks, blocks...
-- Returns the number of logs that were packed: not those that are gone, run or are packed already.
local packed = 0
local a = 1
for k = 1, #KEYS, 2 do
  local meta, log, count = KEYS[k], KEYS[k + 1], tonumber(ARGV[a + 1])
  local known = redis.call('HMGET', meta, 'ended', 'next')
  if known[1] == '1' and known[2] == ARGV[a] and redis.call('EXISTS', log) == 1 then
    for i = 1, count do
      redis.call('HSET', meta, 'z' .. (i - 1), ARGV[a + 1 + i])
    end
    redis.call('UNLINK', log)
    packed = packed + 1
  end
  a = a + 2 + count
end
return packed
