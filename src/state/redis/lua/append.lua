-- Appends events of any number of responses. Each append checks the fence and the number, stores the
-- end of the response if it has one, renews the lease and publishes, in one step.
-- KEYS, for each: meta, log, leases, and the stored response if there is an end to store.
-- ARGV, for each: fence, first number, '1' if they end the log, count, time to live of the end ('' if
-- there is none to store), the end if there is one, events... The response and its channel are
-- derived from the name of its log, so that appends need not send them.
-- Returns, for each: 0 fenced; 1 the log holds them; 2 also a cancel was requested; -(n+1) refused,
-- since the log ends before event n; or what is stored already, another end or the mark of a
-- deletion: nothing was appended.
local results = {}
local k, a = 1, 1
while k <= #KEYS do
  results[#results + 1], k, a = append(k, a)
end
return results
