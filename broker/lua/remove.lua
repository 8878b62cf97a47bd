-- The host removes a user, wherever they are connected: their tokens admit no more, and for a while their name and, when
-- the host wants that, their addresses get no new seat.
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 user id  2 instant  3 JSON of a user who was in the session before, and may have no seat now; else ""
--       4 keys of that user's name, a JSON array; else ""  5 length of the ban in ms, 0 for none  6 "1" to ban addresses too
-- Returns {"unknown"} | {"closed"} | {"absent"} when the user has no seat and argument 3 is ""
--         | {"removed", user JSON, ban, …}
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
if not seat and ARGV[3] == '' then
  return {'absent'}
end
local reply = {'removed', seat and seat.u or ARGV[3]}
local is_new = redis.call('SADD', session .. ':removed', uid) == 1
local ban_ms = tonumber(ARGV[5])
if ban_ms > 0 then
  for _, key in ipairs(seat and {seat.n, unpack(seat.k or {})} or cjson.decode(ARGV[4])) do
    reply[#reply + 1] = 'name ' .. key
  end
  if ARGV[6] == '1' then
    local left = not seat and redis.call('GET', session .. ':left:' .. uid) or ''
    for address in string.gmatch(seat and table.concat(seat.a or {}, ' ') or left, '%S+') do
      reply[#reply + 1] = 'address ' .. address
    end
  end
  for i = 3, #reply do
    ban(session, reply[i], now_ms() + ban_ms)
  end
end
if seat then
  vacate(part, session, uid, seat, 'removed', ARGV[2])
elseif is_new then
  -- Everyone saw the user leave; only Postgres has to know.
  local count = redis.call('HLEN', session .. ':users')
  local data = '{"user":' .. ARGV[3] .. ',"user_count":' .. count .. ',"reason":"removed"}'
  record(part, session, '{"type":"user_left","ts":"' .. ARGV[2] .. '","data":' .. data .. '}')
  rest_if_empty(session)
end
return reply
