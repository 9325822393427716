-- Takes a call for a step. 0: there is none; 1: somebody else has it; else the claim and the call.
-- KEYS: the call, the guard's calls by when they are due, meta
-- ARGV: call id, now, until
local ends = redis.call('HGET', KEYS[1], 'claimed_until')
if not ends then
  return 0
end
if tonumber(ends) > tonumber(ARGV[2]) then
  return 1
end
redis.call('HINCRBY', KEYS[3], 'claim', 1)
local claim = redis.call('HGET', KEYS[3], 'claim')
redis.call('HSET', KEYS[1], 'claim', claim, 'claimed_until', ARGV[3])
local due = math.max(tonumber(redis.call('HGET', KEYS[1], 'deadline')), tonumber(ARGV[3]))
redis.call('ZADD', KEYS[2], string.format('%.0f', due), ARGV[1])
return { claim, redis.call('HGETALL', KEYS[1]) }
