-- What is in the stream after an entry, and whether that is all that there was.
--
-- KEYS: the stream, the epoch. ARGV: the entry, how many at most.
-- Gives the epoch ("": there is none), the entries, whether the one before them is there, the first that is there, and of the
-- stream: its length, how many it ever had (-1: this Redis does not count), the last id that it gave.
local stream, after = KEYS[1], ARGV[1]
local entries = redis.call('XRANGE', stream, '(' .. after, '+', 'COUNT', ARGV[2])
local is_there = #redis.call('XRANGE', stream, after, after)
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
local length, added, last = 0, 0, '0-0'
if redis.call('EXISTS', stream) == 1 then
  added = -1
  local info = redis.call('XINFO', 'STREAM', stream)
  for at = 1, #info, 2 do
    if info[at] == 'length' then length = info[at + 1] end
    if info[at] == 'entries-added' then added = info[at + 1] end
    if info[at] == 'last-generated-id' then last = info[at + 1] end
  end
end
return { redis.call('GET', KEYS[2]) or '', entries, is_there, first and first[1] or '', length, added, last }
