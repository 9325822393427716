-- Removes sessions whose time is over, and says how many, and how many it looked at.
-- KEYS: all sessions
-- ARGV: now, how many to pass over, how many to look at, what the keys of sessions and of their open calls begin with
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', ARGV[2], ARGV[3])
local removed = 0
for _, id in ipairs(ids) do
  if redis.call('EXISTS', ARGV[5] .. id) == 0 then
    redis.call('DEL', ARGV[4] .. id)
    redis.call('ZREM', KEYS[1], id)
    removed = removed + 1
  end
end
return { removed, #ids }
