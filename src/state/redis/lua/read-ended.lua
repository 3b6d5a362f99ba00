-- Reads whole short logs that have ended, to pack them.
-- KEYS, for each: meta, log.
-- ARGV: most events of a short log.
-- Returns, for each: its events, or nothing if it is longer, runs, is packed or incomplete.
local logs = {}
for k = 1, #KEYS, 2 do
  local known = redis.call('HMGET', KEYS[k], 'next', 'ended')
  local events = false
  if known[2] == '1' and tonumber(known[1]) <= tonumber(ARGV[1]) then
    local entries = redis.call('XRANGE', KEYS[k + 1], '-', '+')
    if #entries == tonumber(known[1]) then
      events = {}
      for i = 1, #entries do
        events[i] = entries[i][2][2]
      end
    end
  end
  logs[#logs + 1] = events
end
return logs
