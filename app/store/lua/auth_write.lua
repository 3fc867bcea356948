-- Write and delete fields of the auth state, fenced, all in one step.
--
-- KEYS    see lib.lua
-- ARGV    1 epoch, 2 layout ('hash' or 'keys'), 3 how many fields to set, then each field and its value, then the
--         fields to delete
-- Answer  'ok' or 'stale' (nothing written)

local layout, count = ARGV[2], tonumber(ARGV[3])
local record = read_record()
if not may_use_auth(record, ARGV[1]) then
  return 'stale'
end

-- Calls `write` with slices of ARGV from `first` to `last`, each short enough for one command.
local function slices(first, last, write)
  for from = first, last, CHUNK do
    write(from, math.min(from + CHUNK - 1, last))
  end
end

local set_last = 3 + 2 * count
if layout == 'hash' then
  slices(4, set_last, function(from, to)
    redis.call('HSET', AUTH, unpack(ARGV, from, to))
  end)
  slices(set_last + 1, #ARGV, function(from, to)
    redis.call('HDEL', AUTH, unpack(ARGV, from, to))
  end)
  return 'ok'
end

slices(4, set_last, function(from, to)
  local pairs_, fields = {}, {}
  for i = from, to, 2 do
    pairs_[#pairs_ + 1] = FIELD_PREFIX .. ARGV[i]
    pairs_[#pairs_ + 1] = ARGV[i + 1]
    fields[#fields + 1] = ARGV[i]
    if ARGV[i] == 'creds' then
      redis.call('HSET', RECORD, 'creds_mark', redis.sha1hex(ARGV[i + 1]))
    end
  end
  redis.call('MSET', unpack(pairs_))
  redis.call('SADD', INDEX, unpack(fields))
end)
slices(set_last + 1, #ARGV, function(from, to)
  local keys = {}
  for i = from, to do
    keys[#keys + 1] = FIELD_PREFIX .. ARGV[i]
  end
  redis.call('UNLINK', unpack(keys))
  redis.call('SREM', INDEX, unpack(ARGV, from, to))
end)
return 'ok'
