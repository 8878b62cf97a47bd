-- Announce a worker, or announce it again, and forget workers whose lease has expired. Stands alone.
-- The clock of Redis decides, so the clocks of the workers need not agree.
-- KEYS  1 zset of workers
-- ARGV  1 worker id  2 lease in ms
-- Returns the ids of all living workers.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)  -- before ZADD, so that a full memory ends no lease (settle.lua)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
