-- Ask the owner of a session for something. The status stays, and all that describes it. What was asked already, and
-- is still waited for, is not asked again; a logout replaces a stop, a stop does not replace a logout. A session that
-- has nothing to stop, or to log out of, stays as it is.
--
-- KEYS    see lib.lua
-- ARGV    1 op, 2 intent, 3 deadline (ms from now)
-- Answer  see lib.lua; 'ok' or 'unknown'

local intent = ARGV[2]
local record = read_record()
if not record then
  return answer('unknown', nil)
end
if done_before(record) then
  return answer('ok', record)
end
if not INTENT[intent] then
  return refuse('unknown intent: ' .. intent)
end
if CLEARED[record.status] or (intent == 'stop' and not RUNNING[record.status]) then
  return answer('ok', record)
end
local pending = record.intent and tonumber(record.intent_deadline_at or '0') > NOW
if pending and (record.intent == intent or record.intent == 'logout') then
  return answer('ok', record)
end
record.intent = intent
record.intent_deadline_at = int(NOW + tonumber(ARGV[3]))
transition(record, record.status, { event = intent .. '_requested' })
return answer('ok', record)
