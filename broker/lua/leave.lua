-- End one connection of a seat. When it was the only one, the seat is given up at once ("left"), or kept for the grace
-- time because the connection was lost ("lost").
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 user id  2 connection id  3 "left" or "lost"  4 instant  5 grace in ms
-- Returns 1 when the seat was freed, 2 when it is kept for the grace time, 3 when other connections hold it,
--         0 when this connection does not.
local session, part = KEYS[1], KEYS[2]
local uid, reason, ts = ARGV[1], ARGV[3], ARGV[4]
local seat = seat_of(session, uid)
if not seat then
  return 0
end
local others, lease = disconnect(seat, 1, ARGV[2])
if not lease then
  return 0
end
local grace = reason == 'lost' and tonumber(ARGV[5]) or 0
if grace > 0 and seat.s == 'away' then
  return 2 -- told again, or late: the grace time has begun already
end
local deadline = now_ms() + grace
if others > 0 then
  -- Should the others turn out to be dead, the one that broke still has its time to come back.
  if grace > 0 then
    seat.t = deadline
  end
  redis.call('HSET', session .. ':users', uid, cjson.encode(seat))
  if not is_held_under(seat, lease) then
    redis.call('SREM', part .. 'gateway:' .. lease, session_id_of(session) .. ' ' .. uid)
  end
  return 3
end
if grace == 0 then
  vacate(part, session, uid, seat, reason, ts)
  return 1
end
keep(part, session, uid, seat, deadline)
return 2
