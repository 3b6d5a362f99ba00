-- Creates a log with its first lease and its first events. No follower can exist yet, so nothing is
-- published. If the turn may begin and holds its conversation, the script also writes the events
-- after the first ones, and announces the response.
-- KEYS: meta, log, leases, then for a turn that may begin in a conversation: queue, announced.
-- ARGV: response, head, '1' if the response is stored, nonce of the call, how long the log is stored
-- after its end ('': as usual), channel of the conversation, number of the first events, events from
-- number 0 on...
-- Returns 0 if another call has created it, 1, or 2 if the turn has begun.
local first, all = tonumber(ARGV[7]), #ARGV - 7
if redis.call('EXISTS', KEYS[1]) == 1 then
  local known = redis.call('HMGET', KEYS[1], 'nonce', 'next')
  if known[1] ~= ARGV[4] then
    return 0
  end
  return tonumber(known[2]) > first and 2 or 1
end
local time = redis.call('TIME')
local begins = all > first
if begins and KEYS[4] then
  -- Other replicas evict a head that has had no log for a whole lease. One that decides this before
  -- the log exists may remove the head after it. So a head of that age has not begun: its turn has
  -- to join again.
  local head = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
  begins = head[1] == ARGV[1] and time[1] * 1000000 + time[2] - tonumber(head[2]) <= LEASE_MS * 1000
end
if not begins then
  all = first
end
local lease = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + LEASE_MS)
local known = { 'head', ARGV[2], 'store', ARGV[3], 'nonce', ARGV[4], 'fence', 1, 'next', all, 'lease', lease }
redis.call('HSET', KEYS[1], unpack(known))
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'keep', ARGV[5])
end
redis.call('PEXPIRE', KEYS[1], RUNNING_MS)
redis.call('DEL', KEYS[2])
for i = 1, all do
  redis.call('XADD', KEYS[2], '0-' .. i, 'e', ARGV[i + 7])
end
redis.call('PEXPIRE', KEYS[2], RUNNING_MS)
redis.call('ZADD', KEYS[3], lease, ARGV[1])
redis.call('PEXPIRE', KEYS[3], LEASE_MS + RUNNING_MS)
if begins and KEYS[5] then
  announce(KEYS[5], ARGV[1], ARGV[6])
end
return begins and 2 or 1
