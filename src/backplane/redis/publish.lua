-- Appends the events of one publish, unless its idempotency key shows that they were appended before.
--
-- KEYS: the stream, the epoch, the set of topics with keys, the hash of the topic's keys, and the idempotency key if there is one.
-- ARGV, in this order:
--   the number of the epoch if a new one begins
--   the topic
--   the number of entries to retain
--   the age to retain in milliseconds (0: any)
--   the TTL of the idempotency key in milliseconds
--   the maximum number of keys of a topic
--   whether the topic is closed ("1" or "0")
--   the key to remove ("" or "1key")
--   for each event its key ("" or "1key"), its name ("" or "1name", "0" for an event without data), its data, its comment
--   ("" or "1comment") and its `retry:` in milliseconds ("" or "1number")
-- Returns the epoch, the id of the last event, and the keys of Redis whose invalid values were replaced.
local stream, epoch_key, keyed, latest, once = unpack(KEYS)
local topic, max_length, max_age, max_keys = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[6])
local closes, removes = ARGV[7] == '1', ARGV[8]
local replaced = {}

-- Returns the text at a key, or nil, also if the value has another type.
local function text(key)
  local value = redis.pcall('GET', key)
  return type(value) == 'string' and value or nil
end

-- Calls a command, and replaces a value of another type.
-- Invariant: once an event is appended, nothing may fail.
local function call(command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) == 'table' and answer.err and string.find(answer.err, 'WRONGTYPE', 1, true) then
    redis.call('DEL', key)
    table.insert(replaced, key)
    answer = redis.call(command, key, ...)
  end
  return answer
end

local function parts(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)')
  return tonumber(ms), tonumber(number)
end

-- An epoch is 16 hexadecimal digits, followed by a colon and the base of its milliseconds if that is not 0.
local DIGITS = string.rep('[0-9a-f]', 16)
local function is_64_bits(number)
  return #number < 20 or (#number == 20 and number <= '18446744073709551615')
end

-- Returns the base of an epoch as text, or nil if the epoch is invalid.
local function base_of(epoch)
  if string.match(epoch, '^' .. DIGITS .. '$') then
    return '0'
  end
  local base = string.match(epoch, '^' .. DIGITS .. ':([1-9]%d*)$')
  return base and is_64_bits(base) and base or nil
end

local epoch = text(epoch_key)
local base = epoch and base_of(epoch)

local function begin_epoch(new_base)
  if epoch and not base then
    table.insert(replaced, epoch_key)
  end
  epoch, base = ARGV[1] .. (new_base == '0' and '' or ':' .. new_base), new_base
  redis.call('SET', epoch_key, epoch)
end

local known = once and base and redis.pcall('GET', once)
if known then
  local of, ms, number = string.match(type(known) == 'string' and known or '', '^(%S+) (%d+)%-(%d+)$')
  if of and base_of(of) and is_64_bits(ms) and is_64_bits(number) then
    return { of, ms .. '-' .. number, replaced }
  end
  table.insert(replaced, once)
end
if not base then
  begin_epoch('0')
end

-- The first millisecond that has no positions. With a base, milliseconds are counted from 1.
local END_MS = 17592186044415
local function has_position(ms)
  local since = tonumber(ms) - tonumber(base) + (base == '0' and 0 or 1)
  return since >= 0 and since < END_MS and (base == '0' or since > 0)
end

-- Returns the successor of a decimal number as text. A Lua number has 53 bits, an id 64.
local function next_after(ms)
  local nines = string.match(ms, '9*$')
  local rest = string.sub(ms, 1, #ms - #nines)
  local digit = rest == '' and '1' or string.format('%d', tonumber(string.sub(rest, -1)) + 1)
  return string.sub(rest, 1, -2) .. digit .. string.rep('0', #nines)
end

local function append(place, ...)
  local id = redis.pcall('XADD', stream, 'MAXLEN', '~', max_length, place, 'topic', topic, ...)
  if type(id) ~= 'table' then
    return id
  end
  if place == '*' and not string.find(id.err, 'exhausted', 1, true) then
    -- Repeated with `redis.call`, which raises the error.
    return redis.call('XADD', stream, 'MAXLEN', '~', max_length, place, 'topic', topic, ...)
  end
  -- The last id is the highest possible one: the stream rejects every further entry.
  redis.call('DEL', stream)
  begin_epoch('0')
  return redis.call('XADD', stream, '*', 'topic', topic, ...)
end

local id
local function add(...)
  id = append('*', ...)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  -- The numbers of a millisecond that have positions are used up, because the clock stands still: continue in the next one.
  if tonumber(number) >= 1048576 then
    redis.call('XDEL', stream, id)
    id = append(next_after(ms) .. '-*', ...)
    ms = string.match(id, '^%d+')
  end
  if not has_position(ms) then
    begin_epoch(tonumber(ms) < END_MS and '0' or ms)
  end
end

-- The name's line of an event with a comment, with a `retry:` or without data has all three, with their flags, between CRs.
local function store_latest(key, name, data, comment, retry)
  local line = string.sub(name, 2)
  if comment ~= '' or retry ~= '' then
    line = name .. '\r' .. comment .. '\r' .. retry
  end
  call('HSET', latest, key, id .. '\n' .. line .. '\n' .. data)
  call('SADD', keyed, topic)
  if redis.call('HLEN', latest) <= max_keys then
    return
  end
  -- Approximate eviction of the oldest: of eight random keys, an invalid one or else the oldest.
  local some, oldest, oldest_ms, oldest_number = redis.call('HRANDFIELD', latest, 8, 'WITHVALUES'), nil, nil, nil
  for at = 1, #some, 2 do
    local ms, number = parts(some[at + 1])
    ms, number = ms or -1, number or -1
    if not oldest or ms < oldest_ms or (ms == oldest_ms and number < oldest_number) then
      oldest, oldest_ms, oldest_number = some[at], ms, number
    end
  end
  redis.call('HDEL', latest, oldest)
end

for at = 9, #ARGV, 5 do
  local key, name, data, comment, retry = unpack(ARGV, at, at + 4)
  local fields = name == '0' and {} or { 'data', data }
  local function field(of, value)
    if value ~= '' then
      table.insert(fields, of)
      table.insert(fields, string.sub(value, 2))
    end
  end
  field('event', name == '0' and '' or name)
  field('comment', comment)
  field('retry', retry)
  field('key', key)
  if closes and at + 5 > #ARGV then
    field('close', '11')
  end
  add(unpack(fields))
  if key ~= '' then
    store_latest(string.sub(key, 2), name, data, comment, retry)
  end
end

if removes ~= '' then
  add('key', string.sub(removes, 2), 'remove', '1')
  call('HDEL', latest, string.sub(removes, 2))
end
if closes then
  if #ARGV < 9 then
    add('close', '1')
  end
  redis.call('DEL', latest)
end
if (closes or removes ~= '') and redis.call('EXISTS', latest) == 0 then
  call('SREM', keyed, topic)
end
if not id then
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  return { epoch, newest and newest[1] or '0-0', replaced }
end
if once then
  redis.call('SET', once, epoch .. ' ' .. id, 'PX', ARGV[5])
end
if max_age > 0 then
  redis.call('XTRIM', stream, 'MINID', '~', string.format('%.0f', math.max(0, parts(id) - max_age)))
end
return { epoch, id, replaced }
