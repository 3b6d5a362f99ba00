-- Joins a conversation's queue. With a mark, gives up a place in it first and joins again at its end.
-- KEYS: queue, mark of a call that joins again (absent: joins once).
-- ARGV: response, most waiting, time to live, channel (with a mark only).
-- Returns the place, 0 for the head; -1 if the queue is full, or if a repeat of a call with a mark
-- finds no place.
-- Joining twice changes nothing. A repeat of joining again can arrive after the answer. It would move
-- the head, which runs, to the end, and a second turn would run. A call whose mark exists changes no
-- place.
local place = redis.call('ZRANK', KEYS[1], ARGV[1])
if not KEYS[2] then
  if place then
    return place
  end
else
  if not redis.call('SET', KEYS[2], '1', 'NX', 'PX', RUNNING_MS) then
    return place or -1
  end
  if place then
    redis.call('ZREM', KEYS[1], ARGV[1])
    local head = place == 0 and redis.call('ZRANGE', KEYS[1], 0, 0)[1]
    if head then
      redis.call(PUBLISH, ARGV[4], 'h' .. head)
    end
  end
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
