-- Reads a data key and extends its life, or stores a new one if there is none.
-- KEYS: data key.
-- ARGV: encrypted key to store ('' stores none), its life: milliseconds, or 'stored'.
-- Returns the encrypted key and its life, nothing if there is none, or '' if it was erased.
local known = redis.call('HMGET', KEYS[1], 'key', 'life', 'erased')
if known[3] then
  return ''
end
if not known[1] then
  if ARGV[1] == '' then
    return false
  end
  known = { ARGV[1], ARGV[2] }
  redis.call('HSET', KEYS[1], 'key', ARGV[1], 'life', ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], known[2] == 'stored' and STORED_KEY_MS or known[2])
return { known[1], known[2] }
