-- Take or prolong the lease under which a gateway holds seats of one partition. Stands alone.
-- The clock of Redis decides when the lease ends, so a call that runs late sets no lease back.
-- KEYS  1 prefix of the partition's keys
-- ARGV  1 lease  2 number of the gateway's connection to Redis, rising  3 lease in ms
--       4 "1" to take a lease that is not there
-- Returns how many ms were left (a new lease: all of them), 0 when a later connection of this gateway has renewed;
--         nil when there is no lease (any more): then other gateways free its seats.
local leases, connections = KEYS[1] .. 'gateways', KEYS[1] .. 'connections'
local lease, connection, whole = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expiry = redis.call('ZSCORE', leases, lease)
if not expiry and ARGV[4] ~= '1' then
  return nil
end
if tonumber(redis.call('HGET', connections, lease) or '0') > connection then
  return 0
end
redis.call('ZADD', leases, now + whole, lease)
redis.call('HSET', connections, lease, connection)
-- Only a clock that was set back leaves more than a whole lease; the seats of its gateway would stay for as long.
for _, ahead in ipairs(redis.call('ZRANGEBYSCORE', leases, '(' .. now + whole, '+inf')) do
  redis.call('ZADD', leases, now + whole, ahead)
end
return expiry and expiry - now or whole
