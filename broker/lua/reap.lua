-- Free the seats of one partition that nobody holds any more: the grace has passed, or the gateway's lease has expired.
-- KEYS  1 prefix of the partition's keys
-- ARGV  1 instant  2 the most seats of dead gateways to free in this call
-- Returns how many seats were looked at; call again while it is not 0.
local part, ts, limit = KEYS[1], ARGV[1], tonumber(ARGV[2])
local now = now_ms()
local seen = purge_away(part, ts)
for _, gateway in ipairs(redis.call('ZRANGEBYSCORE', part .. 'gateways', '-inf', now)) do
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
  redis.call('ZREM', part .. 'gateways', gateway)
end
return seen
