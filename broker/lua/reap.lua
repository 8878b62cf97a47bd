-- Free the seats of one partition that nobody holds any more: the grace has passed, or the gateway's lease has expired.
-- All expired leases are condemned before the first seat is freed: a condemned lease can't be prolonged, so a gateway
-- that wakes up in the middle finds that it has none. Its seats may be freed over several calls.
-- KEYS  1 prefix of the partition's keys
-- ARGV  1 instant  2 the most seats of dead gateways to free in this call
--       3 lease of the gateway that asks  4 number of its connection  5 how many ms of that lease must be left
-- Returns how many seats were looked at; call again while it is not 0. -1 when the lease of the gateway that asks is not
--         as good as that: time may have jumped for Redis, or this call was given up long ago, and leases that look
--         expired may belong to gateways that live.
local part, ts, limit = KEYS[1], ARGV[1], tonumber(ARGV[2])
local now = now_ms()
local expiry = redis.call('ZSCORE', part .. 'gateways', ARGV[3])
local connection = redis.call('HGET', part .. 'connections', ARGV[3])
if not expiry or expiry - now < tonumber(ARGV[5]) or connection ~= ARGV[4] then
  return -1
end
for _, gateway in ipairs(redis.call('ZRANGEBYSCORE', part .. 'gateways', '-inf', now)) do
  redis.call('ZREM', part .. 'gateways', gateway)
  redis.call('HDEL', part .. 'connections', gateway)
  redis.call('SADD', part .. 'condemned', gateway)
end
local seen = purge_away(part, ts)
for _, gateway in ipairs(redis.call('SMEMBERS', part .. 'condemned')) do
  local members = redis.call('SPOP', part .. 'gateway:' .. gateway, limit)
  for _, member in ipairs(members) do
    local id, uid = string.match(member, '^(%S+) (%S+)$')
    local session = part .. 'session:' .. id
    local seat = seat_of(session, uid)
    if seat and seat.s == 'here' then
      local others, lease = disconnect(seat, 2, gateway)
      if lease and others > 0 then
        redis.call('HSET', session .. ':users', uid, cjson.encode(seat))
      elseif lease and seat.t and seat.t > now then
        keep(part, session, uid, seat, seat.t)
      elseif lease then
        vacate(part, session, uid, seat, 'lost', ts)
      end
    end
  end
  seen = seen + #members
  limit = limit - #members
  if limit <= 0 then
    return seen
  end
  redis.call('SREM', part .. 'condemned', gateway)
end
return seen
