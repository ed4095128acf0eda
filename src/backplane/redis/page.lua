-- Returns the entries of a stream from one id to another, within bounds, and 1 if these are all of them, 0 otherwise. An entry
-- of more than `max_bytes` is returned as its id without fields. The first entry is returned even if it exceeds `room`.
local function size_of(entry)
  local size = 0
  for _, part in ipairs(entry[2]) do
    size = size + #part
  end
  return size
end

local function page(command, stream, from, to, count, max_bytes, room)
  local entries = {}
  while #entries < count do
    local at_once = math.min(32, count - #entries)
    local some = redis.call(command, stream, from, to, 'COUNT', at_once)
    for _, entry in ipairs(some) do
      local size = size_of(entry)
      if size > max_bytes then
        entry, size = { entry[1], {} }, 0
      end
      if size > room and #entries > 0 then
        return entries, 0
      end
      room = room - size
      table.insert(entries, entry)
    end
    if #some < at_once then
      return entries, 1
    end
    from = '(' .. some[#some][1]
  end
  return entries, 0
end

