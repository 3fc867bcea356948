-- Become responsible for a session whose owner is gone. Compare-and-set on (owner, epoch); the new epoch fences the
-- old owner if it was only asleep. A planned retry stays as it is planned. Intents stay.
--
-- KEYS    see lib.lua
-- ARGV    1 op, 2 expected owner ('' for none), 3 expected epoch, 4 new owner, 5 deadline (ms from now),
--         6 note ('' for none)
-- Answer  see lib.lua; 'ok' or 'stale'

local owner, note = ARGV[4], ARGV[6]
local record = read_record()
if done_before(record) then
  return answer('ok', record)
end
if not record or (record.owner or '') ~= ARGV[2] or record.epoch ~= ARGV[3] or not RUNNING[record.status] then
  return answer('stale', record)
end
if owner == '' then
  return refuse('claim needs an owner')
end

bump(record)
record.owner = owner
local linked = has_creds()
if linked and record.status == 'reconnecting' then
  transition(record, 'reconnecting', { event = 'claim', note = note })
  return answer('ok', record)
end
drop_fields(record, PER_STATUS)
record.deadline_at = int(NOW + tonumber(ARGV[5]))
if linked then
  transition(record, 'connecting', { event = 'claim', note = note })
else
  clear_auth(record)
  transition(record, 'starting', { event = 'claim_unlinked', note = note })
end
return answer('ok', record)
