-- The host removes a user, wherever they are connected; their tokens admit no more.
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 user id  2 instant
-- Returns {"unknown"} | {"closed"} | {"absent"} when the user has no seat | {"removed", user JSON}
local session, part = KEYS[1], KEYS[2]
local uid = ARGV[1]
local state = redis.call('HMGET', session, 'epoch', 'is_active')
if not state[1] then
  return {'unknown'}
end
if state[2] ~= '1' then
  return {'closed'}
end
local seat = seat_of(session, uid)
if not seat then
  return {'absent'}
end
redis.call('SADD', session .. ':removed', uid)
vacate(part, session, uid, seat, 'removed', ARGV[2])
return {'removed', seat.u}
