-- Returns the newest event of each key of a topic, within bounds.
--
-- KEYS: the hash of the topic's keys, the epoch.
-- ARGV: the maximum number of keys, the maximum bytes of one, the maximum bytes of all.
-- Returns the epoch ("" if there is none), each key followed by its value, and the number of keys that were left out.
local latest = KEYS[1]
local max_keys, max_bytes, room = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local length = redis.call('HLEN', latest)
local all
if length > max_keys then
  all = redis.call('HRANDFIELD', latest, max_keys, 'WITHVALUES')
else
  all = redis.call('HGETALL', latest)
end
local some = {}
for at = 1, #all, 2 do
  local size = #all[at] + #all[at + 1]
  if size <= max_bytes and size <= room then
    room = room - size
    table.insert(some, all[at])
    table.insert(some, all[at + 1])
  end
end
local epoch = redis.pcall('GET', KEYS[2])
return { type(epoch) == 'string' and epoch or '', some, length - #some / 2 }
