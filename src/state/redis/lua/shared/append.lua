-- Appends events to one log. Arguments: places of its first key and its first argument, see
-- append.lua. Returns its result and the places after its keys and arguments.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function append(k, a)
  local meta, log, leases, stored = KEYS[k], KEYS[k + 1], KEYS[k + 2], nil
  local fence, first, ends, count = ARGV[a], tonumber(ARGV[a + 1]), ARGV[a + 2] == '1', tonumber(ARGV[a + 3])
  local bucket = string.sub(leases, 1, -7)
  local response = string.sub(log, #bucket + 5)
  local ttl, events = ARGV[a + 4], a + 5
  k = k + 3
  if ttl ~= '' then
    stored, k, events = KEYS[k], k + 1, events + 1
  end
  a = events + count
  local known = redis.call('HMGET', meta, 'fence', 'next', 'ended', 'cancel', 'lease', 'store', 'keep')
  local held = tonumber(known[2])
  local result, earlier = known[4] and 2 or 1, nil
  if known[1] ~= fence then
    result = 0
  elseif first > held then
    result = -held - 1
  elseif first + count > held and known[3] then
    result = 0
  elseif first + count > held then
    earlier = stored and redis.call('SET', stored, ARGV[events - 1], 'NX', 'GET', 'PX', ttl)
    result = earlier or result
  end
  if result ~= 0 and not earlier and first <= held and first + count > held then
    local new = events + held - first
    for i = new, a - 1 do
      redis.call('XADD', log, '0-' .. (first + i - events + 1), 'e', ARGV[i])
    end
    if ends then
      local keep = known[7] or (known[6] == '1' and ENDED_MS or ENDED_UNSTORED_MS)
      redis.call('HSET', meta, 'next', first + count, 'ended', '1')
      redis.call('ZREM', leases, response)
      redis.call('PEXPIRE', meta, keep)
      redis.call('PEXPIRE', log, keep)
    elseif held == 0 or tonumber(known[5]) - now <= LEASE_MS - RENEW_AFTER_MS then
      local lease = string.format('%.0f', now + LEASE_MS)
      redis.call('HSET', meta, 'next', first + count, 'lease', lease)
      redis.call('ZADD', leases, lease, response)
      redis.call('PEXPIRE', leases, LEASE_MS + RUNNING_MS)
      redis.call('PEXPIRE', meta, RUNNING_MS)
      redis.call('PEXPIRE', log, RUNNING_MS)
    else
      redis.call('HSET', meta, 'next', first + count)
    end
    local channel = bucket .. 'live:' .. response
    local bytes = 0
    for i = new, a - 1 do
      bytes = bytes + #ARGV[i] + 1
    end
    if bytes > MESSAGE_BYTES_MAX then
      redis.call(PUBLISH, channel, '')
    else
      redis.call(PUBLISH, channel, held .. '\n' .. table.concat(ARGV, '\n', new, a - 1))
    end
  end
  return result, k, a
end
