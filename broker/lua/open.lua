-- Load a session from Postgres into Redis as hot state with a new epoch. Does nothing when there is hot state already.
-- KEYS  1 session hash
-- ARGV  1 epoch  2 seq (nothing persisted lies above it)  3 idle_seconds  4.. removed user ids, then "--",
--       then ban, deadline in ms, …, then "--", then field, value, … of the session hash
-- Returns 1 when opened, 0 when it was open.
local session = KEYS[1]
if redis.call('HEXISTS', session, 'epoch') == 1 then
  return 0
end
for _, suffix in ipairs({':log', ':users', ':names', ':removed', ':bans', ':buckets'}) do
  redis.call('DEL', session .. suffix)
end
local i = 4
while ARGV[i] ~= '--' do
  redis.call('SADD', session .. ':removed', ARGV[i])
  i = i + 1
end
i = i + 1
while ARGV[i] ~= '--' do
  ban(session, ARGV[i], tonumber(ARGV[i + 1]))
  i = i + 2
end
redis.call('HSET', session, 'epoch', ARGV[1], 'seq', ARGV[2], 'persisted', ARGV[2], 'idle_seconds', ARGV[3],
  unpack(ARGV, i + 1))
rest_if_empty(session)
return 1
