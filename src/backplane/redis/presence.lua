-- Writes the heartbeat and the presence of a node, and returns the other nodes.
--
-- KEYS: the hash of nodes, the presence of this node.
-- ARGV: the id of this node, the version of its presence, its TTL in milliseconds, the maximum TTL of any node in milliseconds,
-- and, if it is to be written, the presence.
-- Returns whether the presence of this node is stored, the other nodes, each followed by its version, and the removed fields or
-- keys that are not nodes.
--
-- The hash maps each node to its expiry, in milliseconds since 1970, and its version. Any node can therefore remove an expired
-- one, whether or not it was ever seen alive.
local nodes, mine = unpack(KEYS)
local node_id, version, ttl, max_ttl, presence = unpack(ARGV)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local is_written = 1
if presence then
  redis.call('SET', mine, presence, 'PX', ttl)
else
  is_written = redis.call('PEXPIRE', mine, ttl)
end

-- Other fields may not be UTF-8, which a node could not parse.
local function is_node_id(text)
  return #text == #node_id and not string.find(text, '[^0-9a-f]')
end

local others, foreign, expired = {}, {}, {}
local all = redis.pcall('HGETALL', nodes)
if all.err then
  redis.call('DEL', nodes)
  table.insert(foreign, nodes)
  all = {}
end
for at = 1, #all, 2 do
  local node, expiry, of = all[at], string.match(all[at + 1], '^(%d+) (%d+)$')
  if node == node_id then
    -- Written below.
  elseif not is_node_id(node) or not expiry or tonumber(expiry) > now + 2 * max_ttl then
    table.insert(foreign, node)
    table.insert(expired, node)
  elseif tonumber(expiry) <= now then
    table.insert(expired, node)
  else
    table.insert(others, node)
    table.insert(others, of)
  end
end
for _, node in ipairs(expired) do
  redis.call('HDEL', nodes, node)
end
redis.call('HSET', nodes, node_id, string.format('%.0f %s', now + ttl, version))
redis.call('PEXPIRE', nodes, ttl)
return { is_written, others, foreign }
