-- Stores an announced response for watchers that miss the message, then publishes it.
local function announce(announced, response, channel)
  if not redis.call('LPOS', announced, response) then
    redis.call('RPUSH', announced, response)
    redis.call('LTRIM', announced, -ANNOUNCED_MAX, -1)
  end
  redis.call('PEXPIRE', announced, ENDED_MS)
  redis.call(PUBLISH, channel, 'a' .. response)
end
