-- Publish a message: give it a seq, keep it in the log and for the worker, send it to everyone.
-- Stands alone, for speed: it does by itself what `emit` in lib.lua does for the other scripts. The functions there
-- are made anew at each call, which costs 1.5 of 9 µs.
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 event JSON after its seq  2 kind (m or e)  3 user id or "-"  4 message id  5 max backlog
--       6 idempotency key, with its user ("" for none)  7 seconds that the key is remembered
--       8 "1" when the publisher waits until the message is committed
--       The rest only when limits are looked at, which costs about as much as four messages: a gateway asks for it with
--       one message in several, and then pays for those before as well.
--       9 bytes of the session's messages that may wait for Postgres
--       10 tokens from the session's bucket, each of 11 µs, and 12 µs in which the bucket gets all
--       13 tokens from the user's bucket, each of 14 µs, and 15 µs in which the bucket gets all
-- Returns seq, or "unknown" | "closed" | "backlog" | "session_backlog" | "unseated" when the user has no seat (any more)
--       | "limited messages_session <ms>" | "limited messages_user <ms>": nothing was done, retry after so many ms
--       | "<seq> <message id> <persisted watermark>" of the first message with that key, also when the session is closed
--         now; "refused" instead of the watermark when Postgres has refused that message.
-- No event takes more in the log, so that a log with few events need not be measured.
local MOST_EVENT_BYTES = 4096

local session, part = KEYS[1], KEYS[2]
local call = redis.call
local epoch, state
if ARGV[9] then
  state = call('HMGET', session, 'epoch', 'seq', 'persisted', 'full_at')
  epoch = state[1]
else
  epoch = call('HGET', session, 'epoch')
end
if not epoch then
  return 'unknown'
end
-- The worker that commits this seq tells the channel.
local function watch(seq)
  if tonumber(call('HGET', session, 'watch') or '0') < seq then
    call('HSET', session, 'watch', seq)
  end
end

local remembered = ARGV[6] ~= '' and session .. ':key:' .. ARGV[6]
if remembered then
  local first = call('GET', remembered)
  if first then
    local first_seq = string.match(first, '^%d+')
    if ARGV[8] == '1' then
      watch(tonumber(first_seq))
    end
    -- The watermark passes a refused message as well.
    local is_refused = call('EXISTS', session .. ':refused:' .. first_seq) == 1
    return first .. ' ' .. (is_refused and 'refused' or call('HGET', session, 'persisted'))
  end
end
-- A gateway that has just woken up does not know yet that everyone saw its users leave. A seat also shows that the
-- session is open, since closing frees all seats: so this costs 0.2 µs more than a look at `is_active`, not 0.6.
local is_server = ARGV[3] == '-'
if is_server or call('HEXISTS', session .. ':users', ARGV[3]) == 0 then
  if call('HGET', session, 'is_active') ~= '1' then
    return 'closed'
  elseif not is_server then
    return 'unseated'
  end
end
local events = part .. 'events'
if call('XLEN', events) >= tonumber(ARGV[5]) then
  return 'backlog'
end
if state then
  local waiting = state[2] - state[3]
  if waiting * MOST_EVENT_BYTES >= tonumber(ARGV[9]) then
    -- The log is never trimmed past what Postgres has: of its bytes, those of the entries above the watermark wait.
    local entries = call('XLEN', session .. ':log')
    local bytes = call('MEMORY', 'USAGE', session .. ':log') or 0
    if bytes * math.min(1, waiting / entries) >= tonumber(ARGV[9]) then
      return 'session_backlog'
    end
  end
  -- As spend.lua, with the session's bucket as a field of the session, and its users' buckets in one hash.
  local time = call('TIME')
  local now = time[1] * 1000000 + time[2]
  local session_price, session_burst = ARGV[10] * ARGV[11], tonumber(ARGV[12])
  local session_full_at = math.max(math.min(tonumber(state[4] or 0), now + session_burst), now) + session_price
  if session_price > 0 and session_full_at > now + session_burst then
    return 'limited messages_session ' .. math.ceil((session_full_at - session_burst - now) / 1000)
  end
  local price, burst = ARGV[13] * ARGV[14], tonumber(ARGV[15])
  if price > 0 then
    local full_at = tonumber(call('HGET', session .. ':buckets', ARGV[3]) or 0)
    full_at = math.max(math.min(full_at, now + burst), now) + price
    if full_at > now + burst then
      return 'limited messages_user ' .. math.ceil((full_at - burst - now) / 1000)
    end
    call('HSET', session .. ':buckets', ARGV[3], full_at)
  end
  if session_price > 0 then
    call('HSET', session, 'full_at', session_full_at)
  end
end
local seq = call('HINCRBY', session, 'seq', 1)
local body = '{"type":"message_received","seq":' .. seq .. ARGV[1]
local payload = seq .. ' ' .. ARGV[2] .. ' ' .. ARGV[3] .. '\n' .. body
call('XADD', session .. ':log', seq .. '-0', 'p', payload)
call('XADD', events, '*', 's', string.sub(session, #part + 9), 'e', epoch, 'd', body)
call('PUBLISH', session, payload)
if seq % 64 == 0 then
  -- As `trim` in trimming.lua.
  local limits = call('HMGET', session, 'persisted', 'log_events', 'log_bytes')
  local kept = tonumber(limits[2])
  if limits[3] then
    local entry_bytes = call('MEMORY', 'USAGE', session .. ':log') / call('XLEN', session .. ':log')
    kept = math.min(kept, math.floor(limits[3] / entry_bytes))
  end
  local floor = math.min(seq - kept, tonumber(limits[1]))
  if floor > 0 then
    call('XTRIM', session .. ':log', 'MINID', '~', (floor + 1) .. '-0')
  end
end
if remembered then
  call('SET', remembered, seq .. ' ' .. ARGV[4], 'EX', ARGV[7])
end
if ARGV[8] == '1' then
  watch(seq)
end
-- An empty session's hot state goes away after a while; a user who publishes sits in it.
if is_server and call('HLEN', session .. ':users') == 0 then
  local idle = call('HGET', session, 'idle_seconds')
  for _, suffix in ipairs({'', ':log', ':removed'}) do
    call('EXPIRE', session .. suffix, idle)
  end
end
return seq
