-- Take a seat, or come back to it. Everything that decides about a seat happens here, at once.
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 user id  2 user JSON  3 folded name  4 gateway lease  5 connection id  6 instant  7 now in ms
-- Returns {"unleased"} when the gateway has no lease: nobody would free the seat if it died
--       | {"unknown"} | {"closed"} | {"removed"} | {"taken"} | {"full"}
--       | {"joined" or "again", seq, epoch, user count, seat JSON, …} (seats only when presence is full)
local session, part = KEYS[1], KEYS[2]
local uid, user, name, gateway, connection, ts = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local users, names = session .. ':users', session .. ':names'

if not redis.call('ZSCORE', part .. 'gateways', gateway) then
  return {'unleased'}
end
local state = redis.call('HMGET', session, 'epoch', 'is_active', 'max_users', 'presence')
if not state[1] then
  return {'unknown'}
end
if state[2] ~= '1' then
  return {'closed'}
end
if redis.call('SISMEMBER', session .. ':removed', uid) == 1 then
  return {'removed'}
end
purge_away(part, ARGV[7], ts)

local seat = seat_of(session, uid)
local outcome = 'again'
local member = session_id_of(session) .. ' ' .. uid
if seat then
  redis.call('SREM', part .. 'gateway:' .. seat.g, member)
  redis.call('ZREM', part .. 'away', member)
  if seat.s == 'here' then
    redis.call('PUBLISH', session, '0 x ' .. uid .. '\n' .. connection)
  end
else
  if redis.call('HEXISTS', names, name) == 1 then
    return {'taken'}
  end
  local count = redis.call('HLEN', users)
  if count >= tonumber(state[3]) then
    return {'full'}
  end
  if count == 0 then
    for _, suffix in ipairs({'', ':log', ':removed'}) do
      redis.call('PERSIST', session .. suffix)
    end
  end
  redis.call('HSET', names, name, uid)
  seat = {n = name, u = user}
  outcome = 'joined'
end
seat.g, seat.c, seat.s = gateway, connection, 'here'
redis.call('HSET', users, uid, cjson.encode(seat))
redis.call('SADD', part .. 'gateway:' .. gateway, member)

local count = redis.call('HLEN', users)
local seq
if outcome == 'joined' then
  seq = announce(part, session, 'user_joined', 'e', uid, seat.u, count, '', ts)
else
  seq = tonumber(redis.call('HGET', session, 'seq'))
end
local reply = {outcome, seq, state[1], count}
if state[4] == 'full' then
  for _, raw in ipairs(redis.call('HVALS', users)) do
    reply[#reply + 1] = raw
  end
end
return reply
