-- Move an entry that can't be written to the partition's dead stream, with the reason. Stands alone.
-- KEYS  1 events of the partition  2 dead stream of the partition  3 session hash  4 mark of the refused message
-- ARGV  1 consumer group  2 id of the entry  3 reason  4 seq of the message, 0 when nobody can wait for it
--       5 seconds that keys are remembered  6.. field, value, … of the entry
-- Returns the id of the dead entry.
local fields = {}
for i = 6, #ARGV do
  fields[#fields + 1] = ARGV[i]
end
fields[#fields + 1] = 'reason'
fields[#fields + 1] = ARGV[3]
fields[#fields + 1] = 'entry'
fields[#fields + 1] = ARGV[2]
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])  -- before XADD, so that a full memory does not hold the worker up (settle.lua)
local id = redis.call('XADD', KEYS[2], '*', unpack(fields))
if ARGV[4] ~= '0' then
  -- A message that is repeated with its key must not pass for committed after the watermark has gone by.
  redis.call('SET', KEYS[4], 1, 'EX', ARGV[5])
  redis.call('PUBLISH', KEYS[3], '0 d -\n' .. ARGV[4])
end
return id
