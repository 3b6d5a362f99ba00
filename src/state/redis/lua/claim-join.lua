-- Joins a conversation's queue.
-- KEYS: queue.
-- ARGV: response, most waiting, time to live.
-- Returns its place, 0 for the head; -1 if the queue is full. Joining again changes nothing.
local place = redis.call('ZRANK', KEYS[1], ARGV[1])
if place then
  return place
end
local size = redis.call('ZCARD', KEYS[1])
if size > tonumber(ARGV[2]) then
  return -1
end
-- The score is the time of joining in microseconds, and larger than the newest score, so that two
-- joins in one microsecond keep their order.
local time = redis.call('TIME')
local score = time[1] * 1000000 + time[2]
local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if newest[2] and tonumber(newest[2]) >= score then
  score = tonumber(newest[2]) + 1
end
redis.call('ZADD', KEYS[1], string.format('%.0f', score), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return size
