-- Move the persisted watermark of sessions forward, never back, and tell the channel while a publisher waits for it. A
-- session without hot state, or in another epoch, is left alone. Stands alone.
-- KEYS  1.. session hashes of one partition
-- ARGV  1.. for each session: epoch, seq up to which every event is committed
-- Returns how many were moved.
local moved = 0
for i, session in ipairs(KEYS) do
  local epoch, seq = ARGV[2 * i - 1], ARGV[2 * i]
  local state = redis.call('HMGET', session, 'epoch', 'persisted', 'watch')
  local before = tonumber(state[2] or '0')
  if state[1] == epoch and tonumber(seq) > before then
    redis.call('HSET', session, 'persisted', seq)
    if state[3] and tonumber(state[3]) > before then
      redis.call('PUBLISH', session, '0 w -\n' .. seq)
    end
    moved = moved + 1
  end
end
return moved
