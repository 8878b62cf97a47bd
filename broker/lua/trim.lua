-- Drop the entries of a partition's stream that every consumer group has acknowledged. Stands alone.
-- KEYS  1 events of the partition
-- ARGV  none
-- Returns how many entries were dropped.
local function precedes(a, b)
  local a_ms, a_n = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_n = string.match(b, '(%d+)-(%d+)')
  a_ms, a_n, b_ms, b_n = tonumber(a_ms), tonumber(a_n), tonumber(b_ms), tonumber(b_n)
  return a_ms < b_ms or (a_ms == b_ms and a_n < b_n)
end

if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
-- The first entry that a group still needs: its lowest pending entry, else the entry after the last delivered.
local first
for _, pairs_of in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #pairs_of, 2 do
    group[pairs_of[i]] = pairs_of[i + 1]
  end
  local needed
  if group['pending'] > 0 then
    needed = redis.call('XPENDING', KEYS[1], group['name'])[2]
  else
    local ms, n = string.match(group['last-delivered-id'], '(%d+)-(%d+)')
    needed = ms .. '-' .. string.format('%.0f', tonumber(n) + 1)
  end
  if not first or precedes(needed, first) then
    first = needed
  end
end
return first and redis.call('XTRIM', KEYS[1], 'MINID', first) or 0
