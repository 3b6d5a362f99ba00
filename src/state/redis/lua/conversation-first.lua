-- Reads the first small items of a conversation, to derive a title that was never written.
-- KEYS: head, items, commits.
-- ARGV: most items, most bytes.
local first = {}
local bytes = 0
for at = 0, ARGV[1] - 1 do
  local item = redis.call('LINDEX', KEYS[2], at)
  if not item then
    return first
  end
  if bytes + #item <= tonumber(ARGV[2]) then
    bytes = bytes + #item
    first[#first + 1] = item
  end
end
return first
