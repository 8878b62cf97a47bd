-- The host removes a user, wherever they are connected; their tokens admit no more.
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 user id  2 instant  3 JSON of a user who was in the session before, and may have no seat now; else ""
-- Returns {"unknown"} | {"closed"} | {"absent"} when the user has no seat and argument 3 is "" | {"removed", user JSON}
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
  if ARGV[3] == '' then
    return {'absent'}
  end
  if redis.call('SADD', session .. ':removed', uid) == 1 then
    -- Everyone saw the user leave; only Postgres has to know.
    local count = redis.call('HLEN', session .. ':users')
    local data = '{"user":' .. ARGV[3] .. ',"user_count":' .. count .. ',"reason":"removed"}'
    record(part, session, '{"type":"user_left","ts":"' .. ARGV[2] .. '","data":' .. data .. '}')
    rest_if_empty(session)
  end
  return {'removed', ARGV[3]}
end
redis.call('SADD', session .. ':removed', uid)
vacate(part, session, uid, seat, 'removed', ARGV[2])
return {'removed', seat.u}
