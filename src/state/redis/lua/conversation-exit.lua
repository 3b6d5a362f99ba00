-- Appends the last events before a terminal event, adds the turn's items to its conversation and
-- takes it out of the queue. A turn that does not own its log adds nothing and stays in the queue.
-- KEYS: those of append.lua for one log, then those of conversation-append.lua.
-- ARGV: likewise.
-- Returns the result of append.lua, and that of conversation-append.lua (nothing if there is none).
local result, _, a = append(1, 1)
return { result, result > 0 and commit(4, a - 1) }
