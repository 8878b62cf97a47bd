-- Shared by every script that trims the log of a session; put in front of each when it is loaded, before lib.lua.

local TRIM_EVERY = 64

-- Keep the log, which has an entry, at about log_events entries and log_bytes bytes, but never past what Postgres has.
-- Hot state that an older version opened has no log_bytes.
local function trim(session, seq)
  local log = session .. ':log'
  local limits = redis.call('HMGET', session, 'persisted', 'log_events', 'log_bytes')
  local kept = tonumber(limits[2])
  if limits[3] then
    local entry_bytes = redis.call('MEMORY', 'USAGE', log) / redis.call('XLEN', log)
    kept = math.min(kept, math.floor(limits[3] / entry_bytes))
  end
  local floor = math.min(seq - kept, tonumber(limits[1]))
  if floor > 0 then
    redis.call('XTRIM', log, 'MINID', '~', (floor + 1) .. '-0')
  end
end
