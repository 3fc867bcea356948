-- Forget a session altogether: record, timeline and auth state. Whoever still holds a socket for it finds no record,
-- and so is stale.
--
-- KEYS    see lib.lua
-- ARGV    1 op, 2 created_at of the session that is meant: not of one that was created under its name since
-- Answer  see lib.lua, with the record as it was; 'ok' or 'unknown'

local record = read_record()
if not record or record.created_at ~= ARGV[2] then
  return answer('unknown', nil)
end
clear_auth(record)
redis.call('UNLINK', RECORD, TIMELINE)
publish(record.epoch, int(tonumber(record.seq) + 1), '"deleted":true')
return answer('ok', record)
