-- Prolong the lease of a partition, but only if the worker still owns it. Stands alone.
-- KEYS  1 owner of the partition
-- ARGV  1 worker id  2 lease in ms
-- Returns 1 when prolonged, 0 when it was lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
