-- The newest entries before an id, and whether there are no others.
--
-- KEYS: the stream. ARGV: before which id ("+": from the newest on), the lowest id, how many at most, how many bytes an entry
-- may have, and all of them together.
local before = ARGV[1] == '+' and '+' or '(' .. ARGV[1]
local entries, is_all =
  page('XREVRANGE', KEYS[1], before, ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
return { entries, is_all }
