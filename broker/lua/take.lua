-- Take a partition that is free, or that the worker owns already (it was restarted under its name). Stands alone.
-- KEYS  1 owner of the partition
-- ARGV  1 worker id  2 lease in ms
-- Returns 1 when the worker owns the partition now, 0 when another does.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])  -- before SET, so that a full memory holds no worker up (settle.lua)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
