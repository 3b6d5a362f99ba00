-- Joins a conversation's queue, extends the life of the conversation and reads its newest items for
-- the head of the queue.
-- KEYS: queue, head, items, commits.
-- ARGV: response, most waiting, time to live of the queue, most items, most bytes, how further
-- owners begin whose conversations may be entered ('': none), owners...
-- Returns nothing if there is no such conversation, else: place, 0 for the head, or -1 if the queue
-- is full; owner, metadata, items from the newest on...: at least one, whatever its size.
local known = redis.call('HMGET', KEYS[2], 'owner', 'metadata')
local owner = known[1]
if not owner then
  return false
end
local within = ARGV[6] ~= '' and string.sub(owner, 1, #ARGV[6]) == ARGV[6]
for i = 7, #ARGV do
  within = within or owner == ARGV[i]
end
if not within then
  return false
end
local ttl = ttl_of(KEYS[2])
for i = 2, 4 do
  redis.call('PEXPIRE', KEYS[i], ttl)
end
local entered = { join(KEYS[1], ARGV[1], ARGV[2], ARGV[3]), owner, known[2] }
if entered[1] ~= 0 then
  return entered
end
local size = redis.call('LLEN', KEYS[3])
local bytes = 0
for at = 0, size - 1, 8 do
  local chunk = redis.call('LRANGE', KEYS[3], -at - 8, -at - 1)
  for i = #chunk, 1, -1 do
    -- An encrypted item counts with the size of its JSON, which it names.
    bytes = bytes + tonumber(string.match(chunk[i], '^{"item":{"id":"[^"]*"},"size":(%d+),') or #chunk[i])
    if #entered - 3 >= tonumber(ARGV[4]) or (#entered > 3 and bytes > tonumber(ARGV[5])) then
      return entered
    end
    entered[#entered + 1] = chunk[i]
  end
end
return entered
