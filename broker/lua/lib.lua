-- Shared by every script that changes a session, but publish; put in front of each when it is loaded (trimming.lua before
-- it, and seats.lua after it, where seats are concerned).
--
-- `session` is the key of the session's hash, and also its channel. The session's other keys are made from it, so all
-- of them carry the hash tag of its partition:
--   :log      stream   entry `<seq>-0`, field `p` = the payload as published
--   :users    hash     user id → seat, none once the session is closed; JSON {n: first key of the name, k: other keys of
--                      the name, u: user JSON, g: gateway lease, c: connection, s: here|away};
--                      with several connections g and c are the newest one's, and m has the others, oldest first:
--                      [[connection, lease], …], and t, if it is there, is until when (ms) one that broke has grace;
--                      a has the hashed addresses that the user has connected from, the newest last
--   :names    hash     key of a name (broker/names/comparison.py) → user id
--   :removed  set      user ids that the host removed
--   :buckets  hash     user id → when the user's token bucket is full (see spend.lua), as long as the user has a seat
--   :bans     zset     "name <key of the name>" or "address <keyed hash>" → until when (ms) nobody gets a new seat by it
--   :left:<u> string   the hashed addresses of user <u>, who left a short time ago, separated by spaces; it expires
--   :key:<k>  string   "<seq> <message id>" of a message published with idempotency key <k>
--   :refused:<seq>     string, there while keys of that time are remembered, when Postgres refused the message for good
--   :restored:<entry>  string, the new seq of a message whose seq was given twice, by the id of its stream entry
-- `part` is the prefix of the partition's keys: events, away (zset of "<session id> <user id>" → deadline in ms),
-- gateways (zset of lease → expiry in ms), connections (hash of lease → number of the connection to Redis by which it
-- was last renewed), condemned (set of expired leases whose seats are being freed), gateway:<lease> (set of
-- "<session id> <user id>", once however many connections that user has there).
--
-- A payload on the channel is "<seq> <kind> <subject>\n<event JSON>", seq 0 when it is not sequenced. Kinds:
--   m  a user's message                       e  any other sequenced event
--   r  the user <subject> was removed         c  the session was closed
--   t  to everyone but the user <subject>     a  to everyone
--   p  the number of users changed (body)     x  a newer connection of the user <subject> replaced the one in the body
--   w  everything up to the seq in the body is committed in Postgres; only sent while somebody waits for it
--   d  the message with the seq in the body can't be written to Postgres, and will not be committed

-- Redis' own clock, in ms: deadlines and leases hold whatever gateways think the time is.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function session_id_of(session)
  return string.match(session, '}:session:(.*)$')
end

local function record(part, session, body, epoch)
  epoch = epoch or redis.call('HGET', session, 'epoch')
  redis.call('XADD', part .. 'events', '*', 's', session_id_of(session), 'e', epoch, 'd', body)
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

-- Give nobody a new seat by this name or address until the deadline (ms). A longer ban that is there stays.
local function ban(session, who, deadline)
  local bans = session .. ':bans'
  redis.call('ZREMRANGEBYSCORE', bans, '-inf', now_ms()) -- before ZADD, so that a full memory holds no worker up (settle.lua)
  if deadline > tonumber(redis.call('ZSCORE', bans, who) or 0) then
    redis.call('ZADD', bans, deadline, who)
    redis.call('PEXPIREAT', bans, redis.call('ZREVRANGE', bans, 0, 0, 'WITHSCORES')[2])
  end
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
