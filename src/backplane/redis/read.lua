-- Returns the entries of the stream after a cursor, and the state of the stream.
--
-- KEYS: the stream, the epoch.
-- ARGV: the cursor, the maximum number of entries, the maximum bytes of one, the maximum bytes of all.
-- Returns, in this order:
--   the epoch ("" if there is none)
--   the entries
--   whether the stream has no further entries
--   whether the entry at the cursor is in the stream
--   the id of the first entry ("" if the stream is empty)
--   the length of the stream
--   the number of entries that were ever added (-1 if this Redis does not count them)
--   the last id that was assigned
--   the highest id that was deleted ("" if this Redis does not report it)
--   the run of the server ("" unless the entry at the cursor is gone)
local stream, after = KEYS[1], ARGV[1]
local entries, is_complete =
  page('XRANGE', stream, '(' .. after, '+', tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]))
local has_cursor = #redis.call('XRANGE', stream, after, after)
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
if has_cursor == 0 and last ~= after then
  -- The run remains unknown if the user has no permission for `INFO`.
  local info = redis.pcall('INFO', 'server', 'replication')
  if type(info) == 'string' then
    run = (string.match(info, 'run_id:(%x+)') or '') .. '/' .. (string.match(info, 'master_replid:(%x+)') or '')
  end
end
return { epoch, entries, is_complete, has_cursor, first and first[1] or '', length, added, last, deleted, run }
