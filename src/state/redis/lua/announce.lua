-- Announces a response to the watchers of its conversation. Idempotent.
-- KEYS: announced.
-- ARGV: response, channel.
announce(KEYS[1], ARGV[1], ARGV[2])
return 1
