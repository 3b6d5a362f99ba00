-- Appends the items of a commit. Arguments: the place of its first key and the place before its first
-- argument, see conversation-append.lua. Its items are the last arguments of the script.
-- `bytes` of the head is the size of all items as long as `bytes_of` names the length of the list
-- and the newest commit. A replica of a version that does not count changes one of these, and then
-- all are counted again.
-- An encrypted item counts with the size of its JSON, which it names.
local function size(item)
  return tonumber(string.match(item, '^{"item":{"id":"[^"]*"},"size":(%d+),') or #item)
end
local function commit(k, a)
  local known = redis.call('HMGET', KEYS[k], 'owner', 'bytes', 'bytes_of', 'title')
  local writer = redis.call('ZRANGE', KEYS[k + 3], 0, 0)[1]
  if redis.call('ZREM', KEYS[k + 3], ARGV[a + 1]) == 1 and writer == ARGV[a + 1] then
    local head = redis.call('ZRANGE', KEYS[k + 3], 0, 0)[1]
    if head then
      redis.call(PUBLISH, ARGV[a + 6], 'h' .. head)
    end
  end
  if not known[1] then
    return false
  end
  if not redis.call('LPOS', KEYS[k + 2], ARGV[a + 1]) and redis.call('EXISTS', KEYS[k + 4]) == 0 then
    if #ARGV > a + 11 and (writer or ARGV[a + 1]) ~= ARGV[a + 1] then
      return 0
    end
    local length = redis.call('LLEN', KEYS[k + 1])
    local bytes = tonumber(known[2])
    if not bytes or known[3] ~= length .. ' ' .. (redis.call('LINDEX', KEYS[k + 2], -1) or '') then
      bytes = 0
      for at = 0, length - 1, 16 do
        for _, item in ipairs(redis.call('LRANGE', KEYS[k + 1], at, at + 15)) do
          bytes = bytes + size(item)
        end
      end
    end
    for i = a + 12, #ARGV do
      length = redis.call('RPUSH', KEYS[k + 1], ARGV[i])
      bytes = bytes + size(ARGV[i])
    end
    while length > tonumber(ARGV[a + 2]) or (bytes > tonumber(ARGV[a + 3]) and length > 1) do
      bytes = bytes - size(redis.call('LPOP', KEYS[k + 1]))
      length = length - 1
    end
    redis.call('RPUSH', KEYS[k + 2], ARGV[a + 1])
    redis.call('LTRIM', KEYS[k + 2], -tonumber(ARGV[a + 4]), -1)
    redis.call('SET', KEYS[k + 4], '1', 'PX', ARGV[a + 5])
    local count = { 'bytes', string.format('%.0f', bytes), 'bytes_of', length .. ' ' .. ARGV[a + 1] }
    redis.call('HSET', KEYS[k], 'updated', redis.call('TIME')[1], unpack(count))
    -- '' means that there is no title yet. A conversation of a version that wrote no titles lacks the
    -- field: its items are read.
    if known[4] == '' and ARGV[a + 10] ~= '' then
      redis.call('HSET', KEYS[k], 'title', ARGV[a + 10], 'title_item', ARGV[a + 11])
    end
  end
  local ttl = ttl_of(KEYS[k])
  for i = k, k + 2 do
    redis.call('PEXPIRE', KEYS[i], ttl)
  end
  local updated = redis.call('HGET', KEYS[k], 'updated')
  local indexed = KEYS[k + 5] and known[1] == ARGV[a + 7]
  if indexed then
    redis.call('ZADD', KEYS[k + 5], updated, ARGV[a + 8])
    redis.call('ZREMRANGEBYRANK', KEYS[k + 5], 0, -tonumber(ARGV[a + 9]) - 1)
    redis.call('PEXPIRE', KEYS[k + 5], LONGEST_TTL_MS + INDEX_SLACK_MS)
  end
  return { known[1], updated, indexed and 1 or 0 }
end
