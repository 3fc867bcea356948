-- Start a session, creating it if need be. With credentials it resumes; without, what is left of an earlier try goes
-- first, so that a new link never begins on old state. A session that is live already stays as it is; one that nobody
-- owns is claimed.
--
-- KEYS    see lib.lua
-- ARGV    1 op, 2 owner, 3 starting deadline (ms from now), 4 connecting deadline (ms from now), 5 note ('' for none)
-- Answer  see lib.lua; 'started' or 'live'

local owner, note = ARGV[2], ARGV[5]
local record = read_record()
if done_before(record) then
  return answer('started', record)
end
if owner == '' then
  return refuse('start needs an owner')
end
if not record then
  record = create_record()
end
if SOCKET[record.status] and record.owner then
  return answer('live', record)
end

local from = record.status
bump(record)
drop_fields(record, PER_STATUS)
if not RUNNING[from] then
  record.intent, record.intent_deadline_at = nil, nil -- else somebody still waits for it
end
record.owner = owner
if has_creds() then
  if not RUNNING[from] then
    record.attempt = nil -- tries of an earlier run do not count
  end
  record.deadline_at = int(NOW + tonumber(ARGV[4]))
  transition(record, 'connecting', { event = SOCKET[from] and 'claim' or 'resume', note = note })
else
  clear_auth(record)
  drop_fields(record, PER_LINK)
  record.deadline_at = int(NOW + tonumber(ARGV[3]))
  transition(record, 'starting', { event = RUNNING[from] and 'claim_unlinked' or 'start', note = note })
end
return answer('started', record)
