-- Appends the items of a commit, once, drops the oldest beyond the bounds, where the newest item
-- always stays, and takes the writer out of the queue.
-- KEYS: head, items, commits, queue, mark of the commit, index of the owner (absent: it is in another
-- slot, or the owner is not known).
-- ARGV: commit, most items, most bytes, most commits, how long the mark is stored, channel, owner,
-- conversation, most conversations in the index, title and the item that it is of ('' if there is
-- none), items...
-- Returns nothing if the conversation is gone, 0 if another response is the head of the queue, else
-- its owner, the time of its change, and whether the index has it. A writer that gave up leaves the
-- queue, but its append may still arrive. Another turn may run by then, so the append must add
-- nothing. An empty queue refuses no writer: a store that lost its newest writes may have lost the
-- place of a running turn.
-- `bytes` of the head is the size of all items as long as `bytes_of` names the length of the list
-- and the newest commit. A replica of a version that does not count changes one of these, and then
-- all are counted again.
-- An encrypted item counts with the size of its JSON, which it names.
local function size(item)
  return tonumber(string.match(item, '^{"item":{"id":"[^"]*"},"size":(%d+),') or #item)
end
local known = redis.call('HMGET', KEYS[1], 'owner', 'bytes', 'bytes_of', 'title')
local writer = redis.call('ZRANGE', KEYS[4], 0, 0)[1]
if redis.call('ZREM', KEYS[4], ARGV[1]) == 1 and writer == ARGV[1] then
  local head = redis.call('ZRANGE', KEYS[4], 0, 0)[1]
  if head then
    redis.call(PUBLISH, ARGV[6], 'h' .. head)
  end
end
if not known[1] then
  return false
end
if not redis.call('LPOS', KEYS[3], ARGV[1]) and redis.call('EXISTS', KEYS[5]) == 0 then
  if #ARGV > 11 and (writer or ARGV[1]) ~= ARGV[1] then
    return 0
  end
  local length = redis.call('LLEN', KEYS[2])
  local bytes = tonumber(known[2])
  if not bytes or known[3] ~= length .. ' ' .. (redis.call('LINDEX', KEYS[3], -1) or '') then
    bytes = 0
    for at = 0, length - 1, 16 do
      for _, item in ipairs(redis.call('LRANGE', KEYS[2], at, at + 15)) do
        bytes = bytes + size(item)
      end
    end
  end
  for i = 12, #ARGV do
    length = redis.call('RPUSH', KEYS[2], ARGV[i])
    bytes = bytes + size(ARGV[i])
  end
  while length > tonumber(ARGV[2]) or (bytes > tonumber(ARGV[3]) and length > 1) do
    bytes = bytes - size(redis.call('LPOP', KEYS[2]))
    length = length - 1
  end
  redis.call('RPUSH', KEYS[3], ARGV[1])
  redis.call('LTRIM', KEYS[3], -tonumber(ARGV[4]), -1)
  redis.call('SET', KEYS[5], '1', 'PX', ARGV[5])
  local count = { 'bytes', string.format('%.0f', bytes), 'bytes_of', length .. ' ' .. ARGV[1] }
  redis.call('HSET', KEYS[1], 'updated', redis.call('TIME')[1], unpack(count))
  -- '' means that there is no title yet. A conversation of a version that wrote no titles lacks the
  -- field: its items are read.
  if known[4] == '' and ARGV[10] ~= '' then
    redis.call('HSET', KEYS[1], 'title', ARGV[10], 'title_item', ARGV[11])
  end
end
local ttl = ttl_of(KEYS[1])
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ttl)
end
local updated = redis.call('HGET', KEYS[1], 'updated')
local indexed = KEYS[6] and known[1] == ARGV[7]
if indexed then
  redis.call('ZADD', KEYS[6], updated, ARGV[8])
  redis.call('ZREMRANGEBYRANK', KEYS[6], 0, -tonumber(ARGV[9]) - 1)
  redis.call('PEXPIRE', KEYS[6], LONGEST_TTL_MS + INDEX_SLACK_MS)
end
return { known[1], updated, indexed and 1 or 0 }
