-- A replica's heartbeat: what it says of itself, for as long as it goes on saying it.
--
-- KEYS    1 heartbeat of the replica, a hash
-- ARGV    1 time to live (ms), 2… names and values
-- Answer  Redis' clock, ms
--
-- Stands alone (no lib.lua): it is not about a session.

local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSETNX', KEYS[1], 'started_at', now)
redis.call('HSET', KEYS[1], 'beat_at', now, unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return now
