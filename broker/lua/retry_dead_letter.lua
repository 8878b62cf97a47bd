-- Put a dead entry back into the partition's stream, for the workers to try again. Stands alone.
-- KEYS  1 events of the partition  2 dead stream of the partition
-- ARGV  1 id of the dead entry  2.. field, value, … of the entry
-- Returns 1, or 0 when the dead entry is gone; nothing was done then.
if redis.call('XDEL', KEYS[2], ARGV[1]) == 0 then
  return 0
end
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
return 1
