-- Writes a claimed call back and gives the claim up; with nothing to write it only gives it up. 0: the claim had ended.
-- KEYS: the call, the guard's calls by deadline, the guard's calls by when they are due
-- ARGV: call id, claim, call, ticket, state, deadline, approval (left out: none)
if redis.call('HGET', KEYS[1], 'claim') ~= ARGV[2] then
  return 0
end
if ARGV[3] then
  redis.call('HSET', KEYS[1], 'call', ARGV[3], 'ticket', ARGV[4], 'state', ARGV[5], 'deadline', ARGV[6])
  if ARGV[7] then
    redis.call('HSET', KEYS[1], 'approval', ARGV[7])
  else
    redis.call('HDEL', KEYS[1], 'approval')
  end
end
redis.call('HSET', KEYS[1], 'claim', '0', 'claimed_until', '0')
local deadline = redis.call('HGET', KEYS[1], 'deadline')
redis.call('ZADD', KEYS[2], deadline, ARGV[1])
redis.call('ZADD', KEYS[3], deadline, ARGV[1])
return 1
