-- Shared by every script that changes a session; put in front of each when it is loaded.
--
-- `session` is the key of the session's hash, and also its channel. The session's other keys are made from it, so all
-- of them carry the hash tag of its partition:
--   :log      stream   entry `<seq>-0`, field `p` = the payload as published
--   :users    hash     user id → seat, JSON {n: folded name, u: user JSON, g: gateway lease, c: connection, s: here|away}
--   :names    hash     folded name → user id
--   :removed  set      user ids that the host removed
--   :key:<k>  string   "<seq> <message id>" of a message published with idempotency key <k>
-- `part` is the prefix of the partition's keys: events, away (zset of "<session id> <user id>" → deadline in ms),
-- gateways (zset of lease → expiry in ms), gateway:<lease> (set of "<session id> <user id>").
--
-- A payload on the channel is "<seq> <kind> <subject>\n<event JSON>", seq 0 when it is not sequenced. Kinds:
--   m  a user's message                       e  any other sequenced event
--   r  the user <subject> was removed         c  the session was closed
--   t  to everyone but the user <subject>     a  to everyone
--   p  the number of users changed (body)     x  user <subject> came back on the connection in the body
--   w  everything up to the seq in the body is committed in Postgres; only sent while somebody waits for it
--   d  the message with the seq in the body can't be written to Postgres, and will not be committed

local PURGE_LIMIT = 100
local TRIM_EVERY = 64
local SEQ_LEAP = 1000000
local FENCE_GRACE_MS = 15000

local function session_id_of(session)
  return string.match(session, 'session:(.*)$')
end

local function record(part, session, body, epoch)
  epoch = epoch or redis.call('HGET', session, 'epoch')
  redis.call('XADD', part .. 'events', '*', 's', session_id_of(session), 'e', epoch, 'd', body)
end

-- Keep the log at about log_events entries, but never past what Postgres has.
local function trim(session, seq)
  local limits = redis.call('HMGET', session, 'persisted', 'log_events')
  local floor = math.min(seq - tonumber(limits[2]), tonumber(limits[1]))
  if floor > 0 then
    redis.call('XTRIM', session .. ':log', 'MINID', '~', (floor + 1) .. '-0')
  end
end

-- Give an event the next seq; keep it in the log and for the worker, and send it to the channel. Returns its seq.
-- `epoch` saves a lookup when the caller knows it.
local function emit(part, session, kind, subject, head, tail, epoch)
  local seq = redis.call('HINCRBY', session, 'seq', 1)
  local body = head .. seq .. tail
  local payload = seq .. ' ' .. kind .. ' ' .. subject .. '\n' .. body
  redis.call('XADD', session .. ':log', seq .. '-0', 'p', payload)
  record(part, session, body, epoch)
  redis.call('PUBLISH', session, payload)
  if seq % TRIM_EVERY == 0 then
    trim(session, seq)
  end
  return seq
end

-- An empty session's hot state goes away after a while; a session with users keeps it.
local function rest_if_empty(session)
  if redis.call('HLEN', session .. ':users') == 0 then
    local idle = redis.call('HGET', session, 'idle_seconds')
    for _, suffix in ipairs({'', ':log', ':removed'}) do
      redis.call('EXPIRE', session .. suffix, idle)
    end
  end
end

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

-- Free a seat and tell everyone. `seat` is the decoded entry.
local function vacate(part, session, uid, seat, reason, ts)
  local member = session_id_of(session) .. ' ' .. uid
  redis.call('HDEL', session .. ':users', uid)
  redis.call('HDEL', session .. ':names', seat.n)
  redis.call('SREM', part .. 'gateway:' .. seat.g, member)
  redis.call('ZREM', part .. 'away', member)
  local count = redis.call('HLEN', session .. ':users')
  local kind = reason == 'removed' and 'r' or 'e'
  announce(part, session, 'user_left', kind, uid, seat.u, count, ',"reason":"' .. reason .. '"', ts)
  rest_if_empty(session)
end

local function seat_of(session, uid)
  local raw = redis.call('HGET', session .. ':users', uid)
  return raw and cjson.decode(raw)
end

-- Free the seats of the partition whose grace has passed. Returns how many.
local function purge_away(part, now, ts)
  local due = redis.call('ZRANGEBYSCORE', part .. 'away', '-inf', now, 'LIMIT', 0, PURGE_LIMIT)
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
-- above that and above its own `seq`, as after `open`. The log goes, because it tells the wrong story. Whoever holds a
-- seat is sent to come back and has the grace time to do so; a seat that had been given up is freed by that as well.
local function fence(part, session, epoch, seq, seen)
  local start = (math.floor(math.max(seq, seen) / SEQ_LEAP) + 2) * SEQ_LEAP
  redis.call('HSET', session, 'epoch', epoch, 'seq', string.format('%.0f', start))
  redis.call('DEL', session .. ':log')
  local time = redis.call('TIME')
  local deadline = string.format('%.0f', tonumber(time[1]) * 1000 + FENCE_GRACE_MS)
  local seats = redis.call('HGETALL', session .. ':users')
  for i = 1, #seats, 2 do
    local seat = cjson.decode(seats[i + 1])
    local member = session_id_of(session) .. ' ' .. seats[i]
    redis.call('SREM', part .. 'gateway:' .. seat.g, member)
    seat.s = 'away'
    redis.call('HSET', session .. ':users', seats[i], cjson.encode(seat))
    redis.call('ZADD', part .. 'away', deadline, member)
  end
end
