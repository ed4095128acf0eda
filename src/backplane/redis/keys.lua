-- The newest event of each key of a topic, as far as there is room, and how many keys were left out.
--
-- KEYS: the newest of each key of this topic, the epoch. ARGV: how many at most, how many bytes one may have, and all of them
-- together. Gives the epoch ("": there is none), each key with its value, and how many were left out.
local latest = KEYS[1]
local most, largest, room = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local length = redis.call('HLEN', latest)
local all
if length > most then
  all = redis.call('HRANDFIELD', latest, most, 'WITHVALUES')
else
  all = redis.call('HGETALL', latest)
end
local some = {}
for at = 1, #all, 2 do
  local size = #all[at] + #all[at + 1]
  if size <= largest and size <= room then
    room = room - size
    table.insert(some, all[at])
    table.insert(some, all[at + 1])
  end
end
local epoch = redis.pcall('GET', KEYS[2])
return { type(epoch) == 'string' and epoch or '', some, length - #some / 2 }
