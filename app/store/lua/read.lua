-- One session and Redis' clock, in one step.
--
-- KEYS[1]  record
-- Answer   {'ok' or 'unknown', now, record, foreign}
--
-- Stands alone (no lib.lua): it is the most frequent script by far.

local time = redis.call('TIME')
local flat = redis.call('HGETALL', KEYS[1])
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
return { #flat > 0 and 'ok' or 'unknown', now, flat, 0 }
