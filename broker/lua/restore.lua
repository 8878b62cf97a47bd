-- Give a message another seq, because another message has its seq: Redis lost data and gave the seq a second time.
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 epoch of the message  2 seq up to which the session was seen  3 new epoch  4 user id or "-"
--       5 event JSON after its seq  6 consumer group and  7 id of the entry, which is acknowledged
--       8 seconds that the new seq of the entry is remembered
-- Returns the new seq, the same one when another worker has restored the entry already; or 0 when there is no hot state;
--         nothing was done then.
local session, part = KEYS[1], KEYS[2]
local state = redis.call('HMGET', session, 'epoch', 'seq')
if not state[1] then
  return 0
end
-- Before the first write that needs memory, so that a full memory does not hold the partition up (settle.lua).
redis.call('XACK', part .. 'events', ARGV[6], ARGV[7])
-- Not the acknowledgement decides: Redis may have lost an entry that a worker still has.
local restored = session .. ':restored:' .. ARGV[7]
local seq = tonumber(redis.call('GET', restored))
if not seq then
  if state[1] == ARGV[1] then
    fence(part, session, ARGV[3], tonumber(state[2]), tonumber(ARGV[2]))
  end
  seq = emit(part, session, 'e', ARGV[4], '{"type":"message_received","seq":', ARGV[5])
  redis.call('SET', restored, seq, 'EX', ARGV[8])
end
rest_if_empty(session)
return seq
