-- Returns the newest entries before an id, newest first, and whether the stream has no earlier ones.
--
-- KEYS: the stream.
-- ARGV: the id ("+": starts with the newest entry), the lowest id, the maximum number of entries, the maximum bytes of one, the
-- maximum bytes of all.
local before = ARGV[1] == '+' and '+' or '(' .. ARGV[1]
local entries, is_complete =
  page('XREVRANGE', KEYS[1], before, ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
return { entries, is_complete }
