-- What the scripts of one session share. In front of it stand the lists of app.model (see scripts.py): RUNNING,
-- CLEARED, WAITING, STATUS, EVENT, INTENT, FIELDS, NUMBERS, FIXED (sets) and PER_STATUS, PER_LINK (arrays).
--
-- KEYS of every such script, all with the hash tag {ID}:
--   1  record       hash
--   2  timeline     stream
--   3  auth state   hash, hash layout
--   4  index        set: the fields that the keys layout holds, each in a key of its own, RECORD:keys:FIELD
--
-- Most scripts answer {kind, now, record, foreign}: a word, Redis' clock in ms, the record as a flat array of names
-- and values (empty: no record), and whether keys of another program wait to be purged (1 or 0; see `clear_auth`).

local RECORD, TIMELINE, AUTH, INDEX = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local FIELD_PREFIX = RECORD .. ':keys:'
local CREDS = FIELD_PREFIX .. 'creds'
local PREFIX, ID = string.match(RECORD, '^(.-):{(.+)}$')
local TIMELINE_LENGTH = 1000
local CALLS_KEPT = 4
local CHUNK = 1000 -- Lua passes no more than some 8,000 values to one call

local function int(number)
  return string.format('%.0f', number)
end

local TIME = redis.call('TIME')
local MICROSECONDS = TIME[1] * 1000000 + TIME[2]
local NOW = math.floor(MICROSECONDS / 1000)

-- The record as it was read: `save` writes the difference.
local stored = {}

local function read_record()
  local flat = redis.call('HGETALL', RECORD)
  if #flat == 0 then
    return nil
  end
  local record = {}
  for i = 1, #flat, 2 do
    record[flat[i]] = flat[i + 1]
    stored[flat[i]] = flat[i + 1]
  end
  return record
end

local function save(record)
  local set, drop = {}, {}
  for name, value in pairs(record) do
    if stored[name] ~= value then
      set[#set + 1] = name
      set[#set + 1] = value
    end
  end
  for name in pairs(stored) do
    if record[name] == nil then
      drop[#drop + 1] = name
    end
  end
  if #set > 0 then
    redis.call('HSET', RECORD, unpack(set))
  end
  if #drop > 0 then
    redis.call('HDEL', RECORD, unpack(drop))
  end
  stored = {}
  for name, value in pairs(record) do
    stored[name] = value
  end
end

local function answer(kind, record)
  local flat = {}
  for name, value in pairs(record or {}) do
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
  return { kind, int(NOW), flat, (record and record.foreign) and 1 or 0 }
end

local function refuse(text)
  return redis.error_reply('REFUSED ' .. ID .. ': ' .. text)
end

-- `what` is the part of the message that differs, as JSON. Numbers go in as text: cjson rounds to 14 digits.
local function publish(epoch, seq, what)
  local message = '{"id":%s,"epoch":%s,"seq":%s,%s}'
  redis.call('PUBLISH', PREFIX .. ':changes', string.format(message, cjson.encode(ID), epoch, seq, what))
end

-- A record that does not exist yet. Its epoch is the clock, so that no epoch of a deleted namesake is valid again; in
-- microseconds, because epochs must not grow faster than it: a script that bumps one takes longer than that.
local function new_record()
  return { epoch = int(MICROSECONDS), seq = '0', created_at = int(NOW) }
end

local function bump(record)
  record.epoch = int(tonumber(record.epoch) + 1)
end

-- Whether this very call was done before: its answer was lost, and the caller repeats it. Others may have changed the
-- record since, so the names of some calls are kept, newest first.
local function done_before(record)
  return record ~= nil and string.find(' ' .. (record.op or '') .. ' ', ' ' .. ARGV[1] .. ' ', 1, true) ~= nil
end

local function remember_call(record)
  if done_before(record) then
    return -- one call may make two transitions
  end
  local names = ARGV[1]
  local kept = 1
  for name in string.gmatch(record.op or '', '%S+') do
    if kept < CALLS_KEPT then
      names = names .. ' ' .. name
      kept = kept + 1
    end
  end
  record.op = names
end

local function drop_fields(record, names)
  for _, name in ipairs(names) do
    record[name] = nil
  end
end

-- Every change of a session ends here: number it, write it, remember it, tell of it. `entry` has event and, if there
-- are any, reason, code and note. The caller dropped PER_STATUS and set what it sets.
local function transition(record, status, entry)
  local from = record.status
  record.status = status
  record.reason = record.reason or entry.reason
  record.code = record.code or entry.code
  record.seq = int(tonumber(record.seq) + 1)
  record.updated_at = int(NOW)
  remember_call(record)
  if not RUNNING[status] or record.owner == '' then
    record.owner = nil
  end
  save(record)

  local line = { 'at', int(NOW), 'event', entry.event, 'to', status, 'epoch', record.epoch }
  local function note(name, value)
    if value and value ~= '' then
      line[#line + 1] = name
      line[#line + 1] = value
    end
  end
  note('from', from)
  note('owner', record.owner)
  note('reason', entry.reason)
  note('code', entry.code)
  note('note', entry.note)
  redis.call('XADD', TIMELINE, 'MAXLEN', '~', TIMELINE_LENGTH, record.seq .. '-0', unpack(line))
  publish(record.epoch, record.seq, string.format('"status":"%s","owner":%s', status, cjson.encode(record.owner or '')))
end

local function create_record()
  local record = new_record()
  transition(record, 'idle', { event = 'created' })
  return record
end

local function has_creds()
  return redis.call('HEXISTS', AUTH, 'creds') == 1 or redis.call('EXISTS', CREDS) == 1
end

local function has_auth()
  return redis.call('EXISTS', AUTH, INDEX, CREDS) > 0
end

-- Whether the keys layout holds credentials that Relink did not write last: `creds_mark` is the digest of those it did.
-- Then the index may lack fields that another program wrote.
local function is_foreign(record)
  local creds = redis.call('GET', CREDS)
  return creds and redis.sha1hex(creds) ~= (record and record.creds_mark)
end

-- Remove the auth state of both layouts. When another program wrote the keys layout, its unknown fields can only be
-- found by SCAN: `foreign` is remembered in the record until the caller has purged them (auth_purge.lua).
-- The first command only removes, so that a Redis with full memory lets the script write all the rest.
local function clear_auth(record)
  local foreign = is_foreign(record)
  redis.call('UNLINK', AUTH, CREDS)
  local keys = {}
  for _, field in ipairs(redis.call('SMEMBERS', INDEX)) do
    keys[#keys + 1] = FIELD_PREFIX .. field
    if #keys == CHUNK then
      redis.call('UNLINK', unpack(keys))
      keys = {}
    end
  end
  keys[#keys + 1] = INDEX
  redis.call('UNLINK', unpack(keys))
  record.creds_mark = nil
  if foreign then
    record.foreign = '1'
  end
end

-- Fence out all that went before, and forget the link.
local function clear(record)
  clear_auth(record)
  bump(record)
  record.cleared = record.epoch
  record.owner = nil
  drop_fields(record, PER_LINK)
end

-- Auth state may be written, or read, by the holder of `epoch`: not under an older one, not where a clear was the last
-- thing that happened.
local function may_use_auth(record, epoch)
  return record and record.epoch == epoch and record.cleared ~= epoch and not CLEARED[record.status]
end
