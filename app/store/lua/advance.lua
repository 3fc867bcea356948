-- Do one fenced change to a session.
--
-- KEYS    see lib.lua
-- ARGV    1 op, 2 epoch and 3 seq that the caller decided on, 4 change: JSON of app.model.Change, all values as text:
--         event, status, reason, code, note, set (object), drop (array), retry_in_ms, deadline_in_ms, qr_in_ms,
--         clear, bump ('1' or absent)
-- Answer  see lib.lua; 'ok', 'stale' (other epoch, or no such session) or 'conflict' (same epoch, other seq)
-- Error   REFUSED: the change breaks a rule of the record. Nothing was written.

local change = cjson.decode(ARGV[4])
local record = read_record()
if done_before(record) then
  return answer('ok', record)
end
if not record or record.epoch ~= ARGV[2] then
  return answer('stale', record)
end
if record.seq ~= ARGV[3] then
  return answer('conflict', record)
end

-- Returns what is wrong with the change, nil if nothing is. Must come before the first write.
local function fault()
  local from, to, set = record.status, change.status, change.set or {}
  if not STATUS[to] or not EVENT[change.event] then
    return 'unknown status or event: ' .. tostring(to) .. ', ' .. tostring(change.event)
  end
  if RUNNING[to] and not RUNNING[from] then
    return to .. ' after ' .. from .. ' is for start alone'
  end
  if RUNNING[to] and change.clear then
    return 'a clear cannot leave ' .. to
  end
  if CLEARED[to] and not change.clear and has_auth() then
    return to .. ' would keep auth state'
  end
  for name, value in pairs(set) do
    if not FIELDS[name] or FIXED[name] then
      return 'not a field to set: ' .. name
    end
    if NUMBERS[name] and not string.match(value, '^%d+$') then
      return name .. ' must be a whole number: ' .. value
    end
  end
  for _, name in ipairs(change.drop or {}) do
    if not FIELDS[name] or FIXED[name] then
      return 'not a field to drop: ' .. name
    end
  end
  if set.owner and set.owner ~= '' then
    return 'an owner is made by start or claim alone'
  end
  if set.intent and not INTENT[set.intent] then
    return 'unknown intent: ' .. set.intent
  end
  if set.qr and not (to == 'qr' and (change.qr_in_ms or set.qr_expires_at)) then
    return 'a QR code needs the status qr and an end'
  end
  local ends = change.deadline_in_ms or change.retry_in_ms or change.qr_in_ms
    or set.deadline_at or set.retry_at or set.qr_expires_at
  if WAITING[to] and not ends then
    return to .. ' needs a deadline'
  end
end

local wrong = fault()
if wrong then
  return refuse(wrong)
end

local function after(milliseconds)
  return milliseconds and int(NOW + tonumber(milliseconds))
end

if change.clear then
  clear(record)
elseif change.bump then
  bump(record)
end
drop_fields(record, PER_STATUS)
drop_fields(record, change.drop or {})
for name, value in pairs(change.set or {}) do
  record[name] = value ~= '' and value or nil
end
if change.status == 'connected' and record.status ~= 'connected' then
  record.connected_at = int(NOW)
end
record.retry_at = after(change.retry_in_ms) or record.retry_at
record.deadline_at = after(change.deadline_in_ms) or record.deadline_at
record.qr_expires_at = after(change.qr_in_ms) or record.qr_expires_at
transition(record, change.status, change)
return answer('ok', record)
