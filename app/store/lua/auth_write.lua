-- Write and delete fields of the auth state, fenced, all in one step.
--
-- KEYS    see lib.lua
-- ARGV    1 epoch, 2 layout ('hash' or 'keys'), 3 JSON: {"set": {field: text, …}, "delete": [field, …]}. One argument,
--         because packing 812 of them costs the client more time than all the rest of the call.
-- Answer  'ok' or 'stale' (nothing written)

local layout = ARGV[2]
local record = read_record()
if not may_use_auth(record, ARGV[1]) then
  return 'stale'
end
local values = cjson.decode(ARGV[3])

-- Calls `write` with slices of `list`, each short enough for one command.
local function slices(list, write)
  for first = 1, #list, CHUNK do
    write(first, math.min(first + CHUNK - 1, #list))
  end
end

local named, fields = {}, {} -- name and text in turn, as HSET and MSET take them; fields alone
for field, text in pairs(values.set) do
  named[#named + 1] = layout == 'hash' and field or FIELD_PREFIX .. field
  named[#named + 1] = text
  fields[#fields + 1] = field
end

if layout == 'hash' then
  slices(named, function(from, to)
    redis.call('HSET', AUTH, unpack(named, from, to))
  end)
  slices(values.delete, function(from, to)
    redis.call('HDEL', AUTH, unpack(values.delete, from, to))
  end)
  return 'ok'
end

slices(named, function(from, to)
  redis.call('MSET', unpack(named, from, to))
end)
slices(fields, function(from, to)
  redis.call('SADD', INDEX, unpack(fields, from, to))
end)
if values.set.creds then
  redis.call('HSET', RECORD, 'creds_mark', redis.sha1hex(values.set.creds))
end
slices(values.delete, function(from, to)
  local keys = {}
  for i = from, to do
    keys[#keys + 1] = FIELD_PREFIX .. values.delete[i]
  end
  redis.call('UNLINK', unpack(keys))
  redis.call('SREM', INDEX, unpack(values.delete, from, to))
end)
return 'ok'
