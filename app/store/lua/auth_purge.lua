-- After a clear, remove keys of the keys layout that another program wrote and that no index knew. Only keys that are
-- not in the index go: those in it belong to a link that was begun since.
--
-- KEYS    see lib.lua
-- ARGV    1 'done' when nothing is left to purge, else '', 2… fields that SCAN found
-- Answer  how many keys were removed

local record = read_record()
if record and not record.foreign then
  return 0
end
local removed = 0
for i = 2, #ARGV do
  if redis.call('SISMEMBER', INDEX, ARGV[i]) == 0 then
    removed = removed + redis.call('UNLINK', FIELD_PREFIX .. ARGV[i])
  end
end
if ARGV[1] == 'done' then
  redis.call('HDEL', RECORD, 'foreign')
end
return removed
