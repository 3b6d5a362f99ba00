-- Stores a missing title, if the item that it was derived from still exists.
-- KEYS: head, items, commits.
-- ARGV: title, item's id, item.
if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('LPOS', KEYS[2], ARGV[3]) then
  if redis.call('HSETNX', KEYS[1], 'title', ARGV[1]) == 1 then
    redis.call('HSET', KEYS[1], 'title_item', ARGV[2])
  end
end
return 1
