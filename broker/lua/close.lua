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
local seq = emit(part, session, 'c', '-', '{"type":"session_closed","seq":', ',"ts":"' .. ARGV[1] .. '","data":{}}')
redis.call('HSET', session, 'is_active', '0')
local seats = redis.call('HGETALL', session .. ':users')
for i = 1, #seats, 2 do
  let_go(part, session_id_of(session) .. ' ' .. seats[i], cjson.decode(seats[i + 1]))
end
redis.call('DEL', session .. ':users', session .. ':names')
rest_if_empty(session)
return seq
