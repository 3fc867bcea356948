-- Create an idle session unless it exists.
--
-- KEYS    see lib.lua
-- ARGV    1 op: a name for this call, so that repeating it after a lost answer changes nothing more
-- Answer  see lib.lua; 'created' or 'ok'

local record = read_record()
if not record then
  return answer('created', create_record())
end
return answer(done_before(record) and 'created' or 'ok', record)
