-- Removes a claimed call. 0: the claim had ended.
-- KEYS: the call, the guard's calls by deadline, the guard's calls by when they are due, guards
-- ARGV: call id, claim, guard, what the keys of sessions and of their open calls begin with
if redis.call('HGET', KEYS[1], 'claim') ~= ARGV[2] then
  return 0
end
local id = redis.call('HGET', KEYS[1], 'session')
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('SREM', KEYS[4], ARGV[3])
end
local session, calls = ARGV[4] .. id, ARGV[5] .. id
redis.call('SREM', calls, KEYS[1])
-- From now on the session ends like any other.
if redis.call('EXISTS', calls) == 0 then
  local ttl = redis.call('HGET', session, 'ttl')
  if ttl then
    redis.call('PEXPIRE', session, ttl)
  end
end
return 1
