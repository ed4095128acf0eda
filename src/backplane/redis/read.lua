-- What is in the stream after an entry, and whether that is all that there was.
--
-- KEYS: the stream, the epoch. ARGV: the entry, how many at most, how many bytes an entry may have, and all of them together.
-- Gives the epoch ("": there is none), the entries, whether those are all, whether the one before them is there, the first that
-- is there, and of the stream: its length, how many it ever had (-1: this Redis does not count), the last id that it gave, the
-- last id that was deleted ("": this Redis does not know), and, where the entry is gone, which run of which server this is.
local stream, after = KEYS[1], ARGV[1]
local entries, is_all =
  page('XRANGE', stream, '(' .. after, '+', tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]))
local is_there = #redis.call('XRANGE', stream, after, after)
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
local length, added, last, deleted = 0, 0, '0-0', ''
if redis.call('EXISTS', stream) == 1 then
  added = -1
  local info = redis.call('XINFO', 'STREAM', stream)
  for at = 1, #info, 2 do
    if info[at] == 'length' then length = info[at + 1] end
    if info[at] == 'entries-added' then added = info[at + 1] end
    if info[at] == 'last-generated-id' then last = info[at + 1] end
    if info[at] == 'max-deleted-entry-id' then deleted = info[at + 1] end
  end
end
local epoch = redis.pcall('GET', KEYS[2])
if type(epoch) ~= 'string' then
  epoch = ''
end
local run = ''
if is_there == 0 and last ~= after then
  -- A user may not be allowed to ask. Then nothing is known.
  local info = redis.pcall('INFO', 'server', 'replication')
  if type(info) == 'string' then
    run = (string.match(info, 'run_id:(%x+)') or '') .. '/' .. (string.match(info, 'master_replid:(%x+)') or '')
  end
end
return { epoch, entries, is_all, is_there, first and first[1] or '', length, added, last, deleted, run }
