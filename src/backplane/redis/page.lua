-- Entries of a stream from one id to another, as far as there is room for them, and whether that is all of them. One that is
-- larger than all others may be has its id alone.
local function size_of(entry)
  local size = 0
  for _, part in ipairs(entry[2]) do
    size = size + #part
  end
  return size
end

local function page(command, stream, from, to, count, largest, room)
  local entries = {}
  while #entries < count do
    local at_once = math.min(32, count - #entries)
    local some = redis.call(command, stream, from, to, 'COUNT', at_once)
    for _, entry in ipairs(some) do
      local size = size_of(entry)
      if size > largest then
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

