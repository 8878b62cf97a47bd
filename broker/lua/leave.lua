-- Give a seat up at once ("left"), or keep it for the grace time because the connection was lost ("lost").
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 user id  2 connection id  3 "left" or "lost"  4 instant  5 now in ms  6 grace in ms
-- Returns 1 when the seat was freed, 2 when it is kept for the grace time, 0 when this connection does not hold it.
local session, part = KEYS[1], KEYS[2]
local uid, reason, ts = ARGV[1], ARGV[3], ARGV[4]
local member = session_id_of(session) .. ' ' .. uid
local seat = seat_of(session, uid)
if not seat or seat.c ~= ARGV[2] then
  return 0
end
local grace = tonumber(ARGV[6])
if reason == 'left' or grace == 0 then
  vacate(part, session, uid, seat, reason, ts)
  return 1
end
seat.s = 'away'
redis.call('HSET', session .. ':users', uid, cjson.encode(seat))
redis.call('SREM', part .. 'gateway:' .. seat.g, member)
redis.call('ZADD', part .. 'away', tonumber(ARGV[5]) + grace, member)
return 2
