-- Make a session's hot state agree with what Postgres knows, because Redis may have lost its newest data: a seq that is
-- written is not given again, a removed user stays out, a closed session stays closed. What only Redis knows stays.
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 highest seq in Postgres  2 "1" when the session is open in Postgres  3 new epoch  4 instant
--       5.. ids of the users whom the host removed, then "--", then ban, deadline in ms, …
-- Returns {1 when the session got the new epoch, how many users were removed again, 1 when it was closed again}; zeros
--         when nothing was missing, and without hot state.
local session, part = KEYS[1], KEYS[2]
local state = redis.call('HMGET', session, 'epoch', 'seq', 'is_active')
if not state[1] then
  return {0, 0, 0}
end
local seq, written = tonumber(state[2]), tonumber(ARGV[1])
local is_reopened = ARGV[2] ~= '1' and state[3] == '1'
local is_behind = seq < written or is_reopened
if is_behind then
  -- The close had a seq, which Postgres may have learned without it.
  fence(part, session, ARGV[3], seq, math.max(written, seq + 1))
end
local removed = 0
local i = 5
while ARGV[i] ~= '--' do
  local uid = ARGV[i]
  if redis.call('SISMEMBER', session .. ':removed', uid) == 0 then
    -- Before SADD, so that a full memory does not hold a worker up (settle.lua). An empty session expires again below.
    redis.call('PERSIST', session .. ':removed')
    redis.call('SADD', session .. ':removed', uid)
    removed = removed + 1
    local seat = seat_of(session, uid)
    if seat then
      vacate(part, session, uid, seat, 'removed', ARGV[4])
    end
  end
  i = i + 1
end
for at = i + 1, #ARGV, 2 do
  ban(session, ARGV[at], tonumber(ARGV[at + 1]))
end
if is_reopened then
  close(part, session, ARGV[4])
elseif removed > 0 then
  rest_if_empty(session)
end
return {is_behind and 1 or 0, removed, is_reopened and 1 or 0}
