-- Publishes what stands next to each other, or finds that it was published.
--
-- KEYS: the stream, the epoch, the topics with keys, the newest of each key of this topic, the idempotency key if there is one.
-- ARGV: an epoch if there is none yet, the topic, how many entries to keep, how many milliseconds of them (0: any), how long to
-- remember the idempotency key, how many keys a topic has at most, whether it closes the topic, the key to forget ("" or "1key"),
-- and for each event its key, its name ("" or "1text") and its data.
local stream, epoch_key, keyed, latest, once = unpack(KEYS)
local topic, max_length, max_age, max_keys = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[6])
local closes, removes = ARGV[7] == '1', ARGV[8]

local epoch = redis.call('GET', epoch_key)
local known = once and epoch and redis.call('GET', once)
if known then
  return { epoch, known }
end
if not epoch then
  epoch = ARGV[1]
  redis.call('SET', epoch_key, epoch)
end

local function parts(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)')
  return tonumber(ms), tonumber(number)
end

local id
local function add(...)
  id = redis.call('XADD', stream, 'MAXLEN', '~', max_length, '*', 'topic', topic, ...)
  local ms, number = parts(id)
  -- A clock that stands still for a million entries: ids go on in the next millisecond.
  if number >= 1048576 then
    redis.call('XDEL', stream, id)
    id = redis.call('XADD', stream, string.format('%.0f-*', ms + 1), 'topic', topic, ...)
  end
end

local function keep(key, name, data)
  redis.call('HSET', latest, key, id .. '\n' .. name .. '\n' .. data)
  redis.call('SADD', keyed, topic)
  if redis.call('HLEN', latest) <= max_keys then
    return
  end
  -- About the oldest goes: the oldest of some.
  local some, oldest, oldest_ms, oldest_number = redis.call('HRANDFIELD', latest, 8, 'WITHVALUES')
  for at = 1, #some, 2 do
    local ms, number = parts(some[at + 1])
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
  redis.call('HDEL', latest, string.sub(removes, 2))
end
if closes then
  if #ARGV < 9 then
    add('close', '1')
  end
  redis.call('DEL', latest)
end
if (closes or removes ~= '') and redis.call('EXISTS', latest) == 0 then
  redis.call('SREM', keyed, topic)
end
if once and id then
  redis.call('SET', once, id, 'PX', ARGV[5])
end
if max_age > 0 and id then
  redis.call('XTRIM', stream, 'MINID', '~', string.format('%.0f', math.max(0, parts(id) - max_age)))
end
if not id then
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  id = newest and newest[1] or '0-0'
end
return { epoch, id }
