-- Close a session: the last event goes to everyone, all seats are freed.
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 instant
-- Returns its last seq, or "unknown". Closing twice changes nothing.
local session, part = KEYS[1], KEYS[2]
local state = redis.call('HMGET', session, 'epoch', 'is_active', 'seq')
if not state[1] then
  return 'unknown'
end
if state[2] ~= '1' then
  return tonumber(state[3])
end
return close(part, session, ARGV[1])
