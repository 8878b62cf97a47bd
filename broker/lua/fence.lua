-- Give a session another epoch, because Redis holds less of it than was handed out, or something else.
-- KEYS  1 session hash  2 prefix of the partition's keys
-- ARGV  1 epoch in which it was found so  2 seq up to which it was handed out  3 new epoch
--       4 "1" when Redis holds other events, or lacks some, whose seqs other events may have got since
-- Returns 1, or 0 when there is nothing to do: no hot state, an epoch that somebody has changed, or nothing is missing.
local session, part = KEYS[1], KEYS[2]
local state = redis.call('HMGET', session, 'epoch', 'seq')
if state[1] ~= ARGV[1] then
  return 0
end
local seq, seen = tonumber(state[2]), tonumber(ARGV[2])
if seq >= seen and ARGV[4] ~= '1' then
  return 0
end
fence(part, session, ARGV[3], seq, seen)
return 1
