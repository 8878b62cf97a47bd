-- Spend from several token buckets of one partition: from all of them, or from none. Stands alone.
-- A bucket is one number (GCRA, ITU-T I.371, annex A): the time in µs at which it will be full again. The clock of Redis
-- decides; after a jump of that clock a bucket is empty at worst. The key expires when the bucket is full.
-- KEYS  1.. the buckets
-- ARGV  1.. for each bucket: µs in which it gets one more token, µs in which it gets all of them (the burst)
-- Returns {0, 0}, or {number of the bucket that must be waited for longest, ms until it has a token}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local arrivals, empty, longest = {}, 0, 0
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local full_at = math.min(tonumber(redis.call('GET', key) or now), now + burst)
  arrivals[i] = math.max(full_at, now) + interval
  local wait = arrivals[i] - burst - now
  if wait > longest then
    empty, longest = i, wait
  end
end
if empty == 0 then
  for i, key in ipairs(KEYS) do
    redis.call('SET', key, arrivals[i], 'PX', math.ceil((arrivals[i] - now) / 1000))
  end
end
return {empty, math.ceil(longest / 1000)}
