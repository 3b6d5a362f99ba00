-- Reads a queue for a waiting response.
-- KEYS: queue.
-- ARGV: response, time to live.
-- Returns its place (-1: not in it), the head, for how many milliseconds the head has been in the
-- queue, and the head's score.
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if not head[1] then
  return { -1 }
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local time = redis.call('TIME')
local age = math.floor((time[1] * 1000000 + time[2] - tonumber(head[2])) / 1000)
return { redis.call('ZRANK', KEYS[1], ARGV[1]) or -1, head[1], age, head[2] }
