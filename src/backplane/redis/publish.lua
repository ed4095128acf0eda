-- Publishes what stands next to each other, or finds that it was published.
--
-- KEYS: the stream, the epoch, the topics with keys, the newest of each key of this topic, the idempotency key if there is one.
-- ARGV: the number of an epoch if a new one is needed, the topic, how many entries to keep, how many milliseconds of them (0:
-- any), how long to remember the idempotency key, how many keys a topic has at most, whether it closes the topic, the key to
-- forget ("" or "1key"), and for each event its key, its name ("" or "1text") and its data.
-- Gives the epoch, the id of the last event, and the keys of Redis that held something else, which was replaced.
local stream, epoch_key, keyed, latest, once = unpack(KEYS)
local topic, max_length, max_age, max_keys = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[6])
local closes, removes = ARGV[7] == '1', ARGV[8]
local replaced = {}

-- The text that is there, or nothing: also if it is of another type.
local function text(key)
  local value = redis.pcall('GET', key)
  return type(value) == 'string' and value or nil
end

-- Once an event is there nothing may fail any more: what is of another type is replaced.
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

-- The epoch: a number, and the first millisecond of its ids, if they are not counted from 0.
local DIGITS = string.rep('[0-9a-f]', 16)
local function is_64_bits(number)
  return #number < 20 or (#number == 20 and number <= '18446744073709551615')
end

local function first_of(epoch)
  if string.match(epoch, '^' .. DIGITS .. '$') then
    return '0'
  end
  local first = string.match(epoch, '^' .. DIGITS .. ':([1-9]%d*)$')
  return first and is_64_bits(first) and first or nil
end

local epoch = text(epoch_key)
local first = epoch and first_of(epoch)

local function begin(with)
  if epoch and not first then
    table.insert(replaced, epoch_key)
  end
  epoch, first = ARGV[1] .. (with == '0' and '' or ':' .. with), with
  redis.call('SET', epoch_key, epoch)
end

local known = once and first and redis.pcall('GET', once)
if known then
  local of, ms, number = string.match(type(known) == 'string' and known or '', '^(%S+) (%d+)%-(%d+)$')
  if of and first_of(of) and is_64_bits(ms) and is_64_bits(number) then
    return { of, ms .. '-' .. number, replaced }
  end
  table.insert(replaced, once)
end
if not first then
  begin('0')
end

-- Milliseconds have positions up to here. They are counted from 1 where there is a first.
local MOST_MS = 17592186044415
local function has_position(ms)
  local since = tonumber(ms) - tonumber(first) + (first == '0' and 0 or 1)
  return since >= 0 and since < MOST_MS and (first == '0' or since > 0)
end

-- A number as text, and one more, however large it is.
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
    -- Fails as it has failed.
    return redis.call('XADD', stream, 'MAXLEN', '~', max_length, place, 'topic', topic, ...)
  end
  -- There is no higher id: the stream never takes anything again.
  redis.call('DEL', stream)
  begin('0')
  return redis.call('XADD', stream, '*', 'topic', topic, ...)
end

local id
local function add(...)
  id = append('*', ...)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  -- A clock that stands still for a million entries: ids go on in the next millisecond.
  if tonumber(number) >= 1048576 then
    redis.call('XDEL', stream, id)
    id = append(next_after(ms) .. '-*', ...)
    ms = string.match(id, '^%d+')
  end
  if not has_position(ms) then
    begin(tonumber(ms) < MOST_MS and '0' or ms)
  end
end

local function keep(key, name, data)
  call('HSET', latest, key, id .. '\n' .. name .. '\n' .. data)
  call('SADD', keyed, topic)
  if redis.call('HLEN', latest) <= max_keys then
    return
  end
  -- About the oldest goes: the oldest of some, and before that what is no value of a key.
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

for at = 9, #ARGV, 3 do
  local key, name, data = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local fields = { 'data', data }
  local function field(of, value)
    if value ~= '' then
      table.insert(fields, of)
      table.insert(fields, string.sub(value, 2))
    end
  end
  field('event', name)
  field('key', key)
  if closes and at + 3 > #ARGV then
    field('close', '11')
  end
  add(unpack(fields))
  if key ~= '' then
    keep(string.sub(key, 2), string.sub(name, 2), data)
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
