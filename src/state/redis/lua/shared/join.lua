-- Adds a response to the end of a queue, unless it is in it.
-- Returns its place, 0 for the head; -1 if the queue is full.
local function join(queue, response, most_waiting, ttl)
  local place = redis.call('ZRANK', queue, response)
  if place then
    return place
  end
  local size = redis.call('ZCARD', queue)
  if size > tonumber(most_waiting) then
    return -1
  end
  -- The score is the time of joining in microseconds, and larger than the newest score, so that two
  -- joins in one microsecond keep their order.
  local time = redis.call('TIME')
  local score = time[1] * 1000000 + time[2]
  local newest = redis.call('ZREVRANGE', queue, 0, 0, 'WITHSCORES')
  if newest[2] and tonumber(newest[2]) >= score then
    score = tonumber(newest[2]) + 1
  end
  redis.call('ZADD', queue, string.format('%.0f', score), response)
  redis.call('PEXPIRE', queue, ttl)
  return size
end
