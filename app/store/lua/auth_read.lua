-- Read fields of the auth state, fenced.
--
-- KEYS    see lib.lua
-- ARGV    1 epoch, 2 layout ('hash' or 'keys'), 3… fields
-- Answer  {'ok', values…} in the order of the fields, nil for those that do not exist; or {'stale'}; or {'adopt'} when
--         credentials were asked for that lie in the other layout, or that another program wrote (see auth_adopt.lua)

local layout = ARGV[2]
local record = read_record()
if not may_use_auth(record, ARGV[1]) then
  return { 'stale' }
end

local function must_adopt()
  if layout == 'hash' then
    return redis.call('HEXISTS', AUTH, 'creds') == 0 and redis.call('EXISTS', CREDS) == 1
  end
  return is_foreign(record)
    or (redis.call('EXISTS', CREDS) == 0 and redis.call('HEXISTS', AUTH, 'creds') == 1)
end

local values = { 'ok' }
for first = 3, #ARGV, CHUNK do
  local names = {}
  for i = first, math.min(first + CHUNK - 1, #ARGV) do
    if ARGV[i] == 'creds' and must_adopt() then
      return { 'adopt' }
    end
    names[#names + 1] = layout == 'hash' and ARGV[i] or FIELD_PREFIX .. ARGV[i]
  end
  local found
  if layout == 'hash' then
    found = redis.call('HMGET', AUTH, unpack(names))
  else
    found = redis.call('MGET', unpack(names))
  end
  for i = 1, #names do
    values[#values + 1] = found[i]
  end
end
return values
