-- Publish a message: give it a seq, keep it in the log and for the worker, send it to everyone.
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 event JSON after its seq  2 kind (m or e)  3 user id or "-"  4 message id  5 max backlog
--       6 idempotency key, with its user ("" for none)  7 seconds that the key is remembered
--       8 "1" when the publisher waits until the message is committed
-- Returns seq, or "unknown" | "closed" | "backlog"
--       | "<seq> <message id> <persisted watermark>" of the first message with that key, also when the session is closed
--         now; "refused" instead of the watermark when Postgres has refused that message.
local session, part = KEYS[1], KEYS[2]
local state = redis.call('HMGET', session, 'epoch', 'is_active')
if not state[1] then
  return 'unknown'
end
-- Whoever commits tells the channel when it has come so far.
local function watch(seq)
  if ARGV[8] == '1' and tonumber(redis.call('HGET', session, 'watch') or '0') < seq then
    redis.call('HSET', session, 'watch', seq)
  end
end

local remembered = ARGV[6] ~= '' and session .. ':key:' .. ARGV[6]
if remembered then
  local first = redis.call('GET', remembered)
  if first then
    watch(tonumber(string.match(first, '^%d+')))
    -- The watermark passes a refused message as well.
    local is_refused = redis.call('EXISTS', session .. ':refused:' .. string.match(first, '^%d+')) == 1
    return first .. ' ' .. (is_refused and 'refused' or redis.call('HGET', session, 'persisted'))
  end
end
if state[2] ~= '1' then
  return 'closed'
end
if redis.call('XLEN', part .. 'events') >= tonumber(ARGV[5]) then
  return 'backlog'
end
local seq = emit(part, session, ARGV[2], ARGV[3], '{"type":"message_received","seq":', ARGV[1], state[1])
if remembered then
  redis.call('SET', remembered, seq .. ' ' .. ARGV[4], 'EX', ARGV[7])
end
watch(seq)
rest_if_empty(session)
return seq
