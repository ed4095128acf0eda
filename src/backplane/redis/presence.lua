-- Says that a node is there, and who is on it, and gives the other nodes.
--
-- KEYS: the nodes, what this one says. ARGV: this node, the number of what it says, for how many milliseconds that holds, how
-- many are the most for any node, and, where that is new, what it says.
-- The nodes are a hash: for each until when it counts, in milliseconds, and the number of what it says. So those that have
-- ended are seen by anyone, whether or not they were ever seen alive.
-- Gives whether what this node says is there, the other nodes, each with its number, and what was there and is no node.
local nodes, mine = unpack(KEYS)
local me, number, holds, longest, said = unpack(ARGV)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local is_there = 1
if said then
  redis.call('SET', mine, said, 'PX', holds)
else
  is_there = redis.call('PEXPIRE', mine, holds)
end

-- What is none may be no text, which no node could read.
local function is_name(text)
  return #text == #me and not string.find(text, '[^0-9a-f]')
end

local others, foreign, over = {}, {}, {}
local all = redis.pcall('HGETALL', nodes)
if all.err then
  redis.call('DEL', nodes)
  table.insert(foreign, nodes)
  all = {}
end
for at = 1, #all, 2 do
  local node, till, of = all[at], string.match(all[at + 1], '^(%d+) (%d+)$')
  if node == me then
    -- Written below.
  elseif not is_name(node) or not till or tonumber(till) > now + 2 * longest then
    table.insert(foreign, node)
    table.insert(over, node)
  elseif tonumber(till) <= now then
    table.insert(over, node)
  else
    table.insert(others, node)
    table.insert(others, of)
  end
end
for _, node in ipairs(over) do
  redis.call('HDEL', nodes, node)
end
redis.call('HSET', nodes, me, string.format('%.0f %s', now + holds, number))
redis.call('PEXPIRE', nodes, holds)
return { is_there, others, foreign }
