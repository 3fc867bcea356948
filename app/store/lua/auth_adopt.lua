-- Make the auth state that another program, or another layout, left behind Relink's own: index the keys layout, then
-- move the whole to the layout wanted. Without a record, it is prepared for the first start.
--
-- KEYS    see lib.lua
-- ARGV    1 epoch that the caller saw ('' for no record), 2 layout wanted,
--         3 '1' if the fields follow, '' to ask whether they are needed, 4… fields that SCAN found
-- Answer  {'ok', how many fields were indexed or moved}, {'scan'} (call again with the fields of the keys layout), or
--         {'stale'}

local layout, scanned = ARGV[2], ARGV[3] == '1'
local record = read_record()
if (record and record.epoch or '') ~= ARGV[1] then
  return { 'stale' }
end
local count = 0

if is_foreign(record) then
  if not scanned then
    if record or redis.call('EXISTS', INDEX) == 0 then
      return { 'scan' }
    end
  else
    redis.call('UNLINK', INDEX)
    for i = 4, #ARGV do
      if redis.call('EXISTS', FIELD_PREFIX .. ARGV[i]) == 1 then
        count = count + redis.call('SADD', INDEX, ARGV[i])
      end
    end
    if record then
      redis.call('HSET', RECORD, 'creds_mark', redis.sha1hex(redis.call('GET', CREDS)))
    end
  end
end

local in_hash = redis.call('HEXISTS', AUTH, 'creds') == 1
local in_keys = redis.call('EXISTS', CREDS) == 1
if layout == 'hash' and in_keys and not in_hash then
  redis.call('UNLINK', AUTH)
  for _, field in ipairs(redis.call('SMEMBERS', INDEX)) do
    local value = redis.call('GET', FIELD_PREFIX .. field)
    if value then
      redis.call('HSET', AUTH, field, value)
      redis.call('UNLINK', FIELD_PREFIX .. field)
    end
  end
  redis.call('UNLINK', INDEX)
  redis.call('HDEL', RECORD, 'creds_mark')
  count = redis.call('HLEN', AUTH)
elseif layout == 'keys' and in_hash and not in_keys then
  local flat = redis.call('HGETALL', AUTH)
  for i = 1, #flat, 2 do
    redis.call('SET', FIELD_PREFIX .. flat[i], flat[i + 1])
    redis.call('SADD', INDEX, flat[i])
    if flat[i] == 'creds' and record then
      redis.call('HSET', RECORD, 'creds_mark', redis.sha1hex(flat[i + 1]))
    end
  end
  redis.call('UNLINK', AUTH)
  count = #flat / 2
end
return { 'ok', count }
