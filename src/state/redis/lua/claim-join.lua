-- Joins a conversation's queue. With a mark, gives up a place in it first and joins again at its end.
-- KEYS: queue, mark of a call that joins again (absent: joins once).
-- ARGV: response, most waiting, time to live, channel (with a mark only).
-- Returns the place, 0 for the head; -1 if the queue is full, or if a repeat of a call with a mark
-- finds no place.
-- Joining twice changes nothing. A repeat of joining again can arrive after the answer. It would move
-- the head, which runs, to the end, and a second turn would run. A call whose mark exists changes no
-- place.
if KEYS[2] then
  local place = redis.call('ZRANK', KEYS[1], ARGV[1])
  if not redis.call('SET', KEYS[2], '1', 'NX', 'PX', RUNNING_MS) then
    return place or -1
  end
  if place then
    redis.call('ZREM', KEYS[1], ARGV[1])
    local head = place == 0 and redis.call('ZRANGE', KEYS[1], 0, 0)[1]
    if head then
      redis.call(PUBLISH, ARGV[4], 'h' .. head)
    end
  end
end
return join(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
