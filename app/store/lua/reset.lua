-- Back to nothing, from any status, with nobody's consent: fence, remove the auth state, forget the link.
--
-- KEYS    see lib.lua
-- ARGV    1 op, 2 '1' to create the session if it does not exist, 3 note ('' for none)
-- Answer  see lib.lua; 'ok' or 'unknown'

local record = read_record()
if done_before(record) then
  return answer('ok', record)
end
if not record then
  if ARGV[2] ~= '1' then
    return answer('unknown', nil)
  end
  record = create_record()
end
clear(record)
drop_fields(record, PER_STATUS)
transition(record, 'idle', { event = 'reset', reason = 'force_reset', note = ARGV[3] })
return answer('ok', record)
