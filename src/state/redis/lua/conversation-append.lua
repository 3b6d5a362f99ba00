-- Appends the items of a commit, once, and drops the oldest beyond the bounds; the newest item
-- always stays.
-- KEYS: head, items, commits, queue.
-- ARGV: commit, most items, most bytes, most commits, title and the item that it is of ('' if there
-- is none), items...
-- Returns nothing if the conversation is gone, 0 if another response is the head of the queue, else
-- its owner and the time of its change. A writer that gave up leaves the queue, but its append may
-- still arrive. Another turn may run by then, so the append must add nothing. An empty queue
-- refuses no writer: a store that lost its newest writes may have lost the place of a running turn.
-- `bytes` of the head is the size of all items as long as `bytes_of` names the length of the list
-- and the newest commit. A replica of a version that does not count changes one of these, and then
-- all are counted again.
-- An encrypted item counts with the size of its JSON, which it names.
local function size(item)
  return tonumber(string.match(item, '^{"item":{"id":"[^"]*"},"size":(%d+),') or #item)
end
local known = redis.call('HMGET', KEYS[1], 'owner', 'bytes', 'bytes_of', 'title')
if not known[1] then
  return false
end
if not redis.call('LPOS', KEYS[3], ARGV[1]) then
  if #ARGV > 6 and (redis.call('ZRANGE', KEYS[4], 0, 0)[1] or ARGV[1]) ~= ARGV[1] then
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
  for i = 7, #ARGV do
    length = redis.call('RPUSH', KEYS[2], ARGV[i])
    bytes = bytes + size(ARGV[i])
  end
  while length > tonumber(ARGV[2]) or (bytes > tonumber(ARGV[3]) and length > 1) do
    bytes = bytes - size(redis.call('LPOP', KEYS[2]))
    length = length - 1
  end
  redis.call('RPUSH', KEYS[3], ARGV[1])
  redis.call('LTRIM', KEYS[3], -tonumber(ARGV[4]), -1)
  local count = { 'bytes', string.format('%.0f', bytes), 'bytes_of', length .. ' ' .. ARGV[1] }
  redis.call('HSET', KEYS[1], 'updated', redis.call('TIME')[1], unpack(count))
  -- '' means that there is no title yet. A conversation of a version that wrote no titles lacks the
  -- field: its items are read.
  if known[4] == '' and ARGV[5] ~= '' then
    redis.call('HSET', KEYS[1], 'title', ARGV[5], 'title_item', ARGV[6])
  end
end
local ttl = ttl_of(KEYS[1])
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ttl)
end
return redis.call('HMGET', KEYS[1], 'owner', 'updated')
