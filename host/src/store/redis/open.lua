-- Keeps a call that has begun. 0: there is one of this id.
-- KEYS: the call, the guard's calls by deadline, the guard's calls by when they are due, guards, open calls of the session, the session
-- ARGV: guard, call id, session, call, ticket, state, deadline, approval (left out: none)
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'guard', ARGV[1], 'call_id', ARGV[2], 'session', ARGV[3], 'call', ARGV[4], 'ticket', ARGV[5],
  'state', ARGV[6], 'deadline', ARGV[7], 'claim', '0', 'claimed_until', '0')
if ARGV[8] then
  redis.call('HSET', KEYS[1], 'approval', ARGV[8])
end
redis.call('ZADD', KEYS[2], ARGV[7], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[7], ARGV[2])
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('SADD', KEYS[5], KEYS[1])
redis.call('PERSIST', KEYS[6])
return 1
