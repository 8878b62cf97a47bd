-- Take a seat, or come back to it. Everything that decides about a seat happens here, at once. Who is connected already
-- is replaced, or stays beside the new connection when the session allows several: then the oldest beyond
-- MAX_CONNECTIONS is replaced.
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 user id  2 user JSON  3 keys of the name, a JSON array  4 gateway lease  5 connection id  6 instant
--       7 number of the gateway's connection to Redis  8 max backlog
--       9 hash of the client's address, or ""  10 "1" when no ban applies to the user, as for the host
-- Returns {"unleased"} when the gateway has no lease, so that nobody would free the seat if the gateway died, or has
--         given the connection up: the user was told that the join failed
--       | {"unknown"} | {"closed"} | {"removed"} | {"taken"} | {"full"}
--       | {"banned"} when the seat would be new, and the name or the address is banned
--       | {"backlog"} when the seat would be new: who comes back adds no entry, and each leave was preceded by a join
--       | {"joined" or "again", seq, epoch, user count, seat JSON, …} (seats only when presence is full)
local MAX_CONNECTIONS = 16
local MAX_ADDRESSES = 16

local session, part = KEYS[1], KEYS[2]
local uid, user, keys, gateway, connection, ts = ARGV[1], ARGV[2], cjson.decode(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local address = ARGV[9]
local users, names = session .. ':users', session .. ':names'

local function is_banned(who)
  return tonumber(redis.call('ZSCORE', session .. ':bans', who) or 0) > now_ms()
end

local renewed_by = redis.call('HGET', part .. 'connections', gateway)
if not redis.call('ZSCORE', part .. 'gateways', gateway) or tonumber(renewed_by or 0) > tonumber(ARGV[7]) then
  return {'unleased'}
end
local state = redis.call('HMGET', session, 'epoch', 'is_active', 'max_users', 'presence', 'multiple_connections')
if not state[1] then
  return {'unknown'}
end
if state[2] ~= '1' then
  return {'closed'}
end
if redis.call('SISMEMBER', session .. ':removed', uid) == 1 then
  return {'removed'}
end

local seat = seat_of(session, uid)
local outcome = 'again'
local member = session_id_of(session) .. ' ' .. uid
if seat then
  let_go(part, member, seat)
  local connections = seat.s == 'here' and connections_of(seat) or {}
  local most = state[5] == '1' and MAX_CONNECTIONS or 1
  while #connections >= most do
    redis.call('PUBLISH', session, '0 x ' .. uid .. '\n' .. table.remove(connections, 1)[1])
  end
  for _, one in ipairs(connections) do
    redis.call('SADD', part .. 'gateway:' .. one[2], member)
  end
  connections[#connections + 1] = {connection, gateway}
  connect(seat, connections)
else
  if ARGV[10] ~= '1' and is_banned('address ' .. address) then
    return {'banned'}
  end
  for _, key in ipairs(keys) do
    if ARGV[10] ~= '1' and is_banned('name ' .. key) then
      return {'banned'}
    end
    local holder = redis.call('HGET', names, key)
    -- A gateway of an older version frees a seat without the other keys of its name.
    if holder and redis.call('HEXISTS', users, holder) == 1 then
      return {'taken'}
    end
  end
  local count = redis.call('HLEN', users)
  if count >= tonumber(state[3]) then
    return {'full'}
  end
  if redis.call('XLEN', part .. 'events') >= tonumber(ARGV[8]) then
    return {'backlog'}
  end
  if count == 0 then
    for _, suffix in ipairs({'', ':log', ':removed'}) do
      redis.call('PERSIST', session .. suffix)
    end
  end
  for _, key in ipairs(keys) do
    redis.call('HSET', names, key, uid)
  end
  seat = {n = table.remove(keys, 1), u = user, g = gateway, c = connection}
  seat.k = #keys > 0 and keys or nil
  outcome = 'joined'
end
seat.s, seat.t = 'here', nil
if address ~= '' then
  local addresses = {}
  for _, one in ipairs(seat.a or {}) do
    if one ~= address then
      addresses[#addresses + 1] = one
    end
  end
  addresses[#addresses + 1] = address
  if #addresses > MAX_ADDRESSES then
    table.remove(addresses, 1)
  end
  seat.a = addresses
end
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
