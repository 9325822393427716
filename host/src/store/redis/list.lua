-- Open calls, of one guard or of all.
-- KEYS: guards
-- ARGV: how many of each guard at most, what the keys of calls and of guards' calls begin with, guard (left out: all)
local guards = ARGV[4] and { ARGV[4] } or redis.call('SMEMBERS', KEYS[1])
local calls = {}
for _, guard in ipairs(guards) do
  for _, id in ipairs(redis.call('ZRANGE', ARGV[3] .. guard, 0, tonumber(ARGV[1]) - 1)) do
    calls[#calls + 1] = redis.call('HGETALL', ARGV[2] .. #guard .. ':' .. guard .. ':' .. id)
  end
end
return calls
