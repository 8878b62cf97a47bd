-- Acknowledge committed entries of one partition, and move the persisted watermarks of their sessions forward, never back:
-- both or neither, whatever fails. Tells the channel of a session in which a publisher waits. A session without hot
-- state, or in another epoch, is left alone. Trims the log of a session of which many events were committed at once:
-- the log grew while Postgres was away, and nobody may publish to that session any more.
-- KEYS  1 events of the partition  2.. session hashes
-- ARGV  1 consumer group  2 number of entries  3.. ids of the entries, then for each session: epoch, seq up to which
--       every event is committed
-- Returns how many entries were acknowledged: fewer than given when another worker has settled them, or Redis lost them.
local UNPACKED = 1000
local call = redis.call
local last_id = 2 + ARGV[2]
-- XACK before HSET: Redis looks at its memory only before the first write of a script, and refuses HSET but not XACK. A
-- worker that could settle nothing while the memory is full would never make room.
local acknowledged = 0
for first = 3, last_id, UNPACKED do
  acknowledged = acknowledged + call('XACK', KEYS[1], ARGV[1], unpack(ARGV, first, math.min(first + UNPACKED - 1, last_id)))
end
for i = 2, #KEYS do
  local session, epoch, seq = KEYS[i], ARGV[last_id + 2 * i - 3], ARGV[last_id + 2 * i - 2]
  local state = call('HMGET', session, 'epoch', 'persisted', 'watch', 'seq')
  local before = tonumber(state[2] or '0')
  if state[1] == epoch and tonumber(seq) > before then
    call('HSET', session, 'persisted', seq)
    if state[3] and tonumber(state[3]) > before then
      call('PUBLISH', session, '0 w -\n' .. seq)
    end
    if seq - before >= TRIM_EVERY and call('XLEN', session .. ':log') > 0 then
      trim(session, tonumber(state[4]))
    end
  end
end
return acknowledged
