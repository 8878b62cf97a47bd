-- Count the sockets that one address has on all gateways, and say how many this gateway has, unless that is too many.
-- The counts of gateways whose lease has expired are dropped: nobody has to clean up after a dead gateway. Stands alone.
-- KEYS  1 hash of the address: lease → number of sockets  2 zset of the partition's leases → expiry in ms
-- ARGV  1 lease of this gateway  2 its number of sockets  3 the most on all gateways, 0 for any number
--       4 seconds that the counts are kept
-- Returns the number on all gateways; when that is above the most, nothing was written.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local total, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local counts = redis.call('HGETALL', KEYS[1])
for i = 1, #counts, 2 do
  if counts[i] ~= ARGV[1] then
    local expiry = redis.call('ZSCORE', KEYS[2], counts[i])
    if expiry and tonumber(expiry) > now then
      total = total + counts[i + 1]
    else
      redis.call('HDEL', KEYS[1], counts[i])
    end
  end
end
if most == 0 or total <= most then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[4])
end
return total
