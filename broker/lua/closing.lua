-- Shared by the scripts that close a session; put in front of them when they are loaded, after seats.lua.

-- The last event goes to everyone, and all seats are freed. Returns the seq of that event.
local function close(part, session, ts)
  local seq = emit(part, session, 'c', '-', '{"type":"session_closed","seq":', ',"ts":"' .. ts .. '","data":{}}')
  redis.call('HSET', session, 'is_active', '0')
  local seats = redis.call('HGETALL', session .. ':users')
  for i = 1, #seats, 2 do
    let_go(part, session_id_of(session) .. ' ' .. seats[i], cjson.decode(seats[i + 1]))
  end
  redis.call('DEL', session .. ':users', session .. ':names', session .. ':buckets')
  rest_if_empty(session)
  return seq
end
