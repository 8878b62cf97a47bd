-- Shared by the scripts that change seats; put in front of them when they are loaded, after lib.lua.

local PURGE_LIMIT = 100
local SEQ_LEAP = 1000000
local FENCE_GRACE_MS = 15000
-- How long the host can still ban the addresses of a user who has left.
local LEFT_MS = 60000

-- Announce that a user came or went: as a sequenced event, or as a number in `summary` sessions.
local function announce(part, session, type, kind, uid, user, count, more, ts)
  local data = ',"ts":"' .. ts .. '","data":{"user":' .. user .. ',"user_count":' .. count .. more .. '}}'
  if redis.call('HGET', session, 'presence') == 'full' then
    return emit(part, session, kind, uid, '{"type":"' .. type .. '","seq":', data)
  end
  record(part, session, '{"type":"' .. type .. '"' .. data)
  if kind == 'r' then
    redis.call('PUBLISH', session, '0 r ' .. uid .. '\n')
  end
  redis.call('PUBLISH', session, '0 p -\n' .. count)
  return tonumber(redis.call('HGET', session, 'seq'))
end

local function seat_of(session, uid)
  local raw = redis.call('HGET', session .. ':users', uid)
  return raw and cjson.decode(raw)
end

-- A seat's connections, {connection, lease} each, the oldest first.
local function connections_of(seat)
  local all = {}
  for i, older in ipairs(seat.m or {}) do
    all[i] = older
  end
  all[#all + 1] = {seat.c, seat.g}
  return all
end

-- Give a seat these connections, at least one.
local function connect(seat, connections)
  local newest = table.remove(connections)
  seat.c, seat.g = newest[1], newest[2]
  seat.m = #connections > 0 and connections or nil
end

-- Take connections from a seat: those whose connection (field 1) or lease (field 2) is `value`. Returns how many stay;
-- when none would, the seat is as it was. The second value is the lease of one that went.
local function disconnect(seat, field, value)
  local staying, lease = {}, nil
  for _, one in ipairs(connections_of(seat)) do
    if one[field] == value then
      lease = one[2]
    else
      staying[#staying + 1] = one
    end
  end
  local count = #staying
  if lease and count > 0 then
    connect(seat, staying)
  end
  return count, lease
end

local function is_held_under(seat, lease)
  for _, one in ipairs(connections_of(seat)) do
    if one[2] == lease then
      return true
    end
  end
  return false
end

-- No gateway holds the seat any more, and no deadline runs for it.
local function let_go(part, member, seat)
  for _, one in ipairs(connections_of(seat)) do
    redis.call('SREM', part .. 'gateway:' .. one[2], member)
  end
  redis.call('ZREM', part .. 'away', member)
end

-- Keep the seat, which nobody is connected to now, until the deadline.
local function keep(part, session, uid, seat, deadline)
  local member = session_id_of(session) .. ' ' .. uid
  let_go(part, member, seat)
  seat.s, seat.t, seat.m = 'away', nil, nil
  redis.call('HSET', session .. ':users', uid, cjson.encode(seat))
  redis.call('ZADD', part .. 'away', deadline, member)
end

-- Free a seat and tell everyone. `seat` is the decoded entry.
local function vacate(part, session, uid, seat, reason, ts)
  local member = session_id_of(session) .. ' ' .. uid
  redis.call('HDEL', session .. ':users', uid)
  redis.call('HDEL', session .. ':names', seat.n, unpack(seat.k or {}))
  redis.call('HDEL', session .. ':buckets', uid)
  let_go(part, member, seat)
  local count = redis.call('HLEN', session .. ':users')
  local kind = reason == 'removed' and 'r' or 'e'
  if seat.a and kind == 'e' then
    redis.call('SET', session .. ':left:' .. uid, table.concat(seat.a, ' '), 'PX', LEFT_MS)
  end
  announce(part, session, 'user_left', kind, uid, seat.u, count, ',"reason":"' .. reason .. '"', ts)
  rest_if_empty(session)
end

-- Free the seats of the partition whose grace has passed. Returns how many. Only `reap` does: after a jump of the
-- clock, a join would free the seats of users who still have time.
local function purge_away(part, ts)
  local due = redis.call('ZRANGEBYSCORE', part .. 'away', '-inf', now_ms(), 'LIMIT', 0, PURGE_LIMIT)
  for _, member in ipairs(due) do
    local id, uid = string.match(member, '^(%S+) (%S+)$')
    local session = part .. 'session:' .. id
    local seat = seat_of(session, uid)
    redis.call('ZREM', part .. 'away', member)
    if seat and seat.s == 'away' then
      vacate(part, session, uid, seat, 'lost', ts)
    end
  end
  return #due
end

-- Redis has fallen behind what it handed out, `seen`: give the session another epoch, whose seqs begin more than a million
-- above that and above its own `seq`, as after `open`. The log goes, because it tells the wrong story. Every user
-- with a seat is sent to come back and has the grace time to do so; a seat that had been given up is freed as well.
local function fence(part, session, epoch, seq, seen)
  local start = (math.floor(math.max(seq, seen) / SEQ_LEAP) + 2) * SEQ_LEAP
  redis.call('DEL', session .. ':log') -- before HSET, so that a full memory holds no room and no worker up (settle.lua)
  redis.call('HSET', session, 'epoch', epoch, 'seq', string.format('%.0f', start))
  local deadline = now_ms() + FENCE_GRACE_MS
  local seats = redis.call('HGETALL', session .. ':users')
  for i = 1, #seats, 2 do
    keep(part, session, seats[i], cjson.decode(seats[i + 1]), deadline)
  end
end
