-- Operations of one session, in their order.
-- KEYS: the session, its open calls, all sessions, meta
-- ARGV: session id, now, expires, expires - now, what a move must exceed to be written, epoch, then the operations
local session, calls, sessions, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now, expires = tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('EXISTS', calls) == 1
local ends = redis.call('HGET', session, 'expires')
if ends and tonumber(ends) <= now and not held then
  redis.call('DEL', session)
end
if not ends or tonumber(ends) <= now or math.abs(expires - tonumber(ends)) > tonumber(ARGV[5]) then
  redis.call('HSET', session, 'expires', ARGV[3], 'ttl', ARGV[4])
  redis.call('ZADD', sessions, ARGV[3], ARGV[1])
  if held then
    redis.call('PERSIST', session)
  else
    redis.call('PEXPIRE', session, ARGV[4])
  end
end

local function entry(key)
  local value = redis.call('HGET', session, 'v:' .. key)
  return value, value and redis.call('HGET', session, 'n:' .. key) or '0'
end

-- A version that was never given out before, also when the server has lost its data meanwhile.
local function written(key)
  redis.call('HSETNX', meta, 'epoch', ARGV[6])
  redis.call('HINCRBY', meta, 'version', 1)
  local version = redis.call('HGET', meta, 'version') .. '-' .. redis.call('HGET', meta, 'epoch')
  redis.call('HSET', session, 'n:' .. key, version)
  return { 'done', redis.call('HGET', session, 'v:' .. key), version }
end

local function increment(key, amount)
  local field = 'v:' .. key
  local value = redis.call('HGET', session, field)
  if value then
    -- Redis takes no plus and no leading zeros.
    local sign, digits = string.match(value, '^([+-]?)0*(%d+)$')
    if not digits then
      return { 'failed', 'a counter is not an integer' }
    end
    local plain = (sign == '-' and digits ~= '0') and ('-' .. digits) or digits
    if plain ~= value then
      redis.call('HSET', session, field, plain)
    end
  end
  local sum = redis.pcall('HINCRBY', session, field, amount)
  if type(sum) == 'table' and sum.err then
    if value then
      redis.call('HSET', session, field, value)
    end
    return { 'failed', 'a counter is at its end' }
  end
  return written(key)
end

local results, at = {}, 7
local function argument()
  at = at + 1
  return ARGV[at - 1]
end
while at <= #ARGV do
  local operation, key = argument(), argument()
  local result
  if operation == 'get' then
    local value, version = entry(key)
    result = { 'done', value, version }
  elseif operation == 'increment' then
    result = increment(key, argument())
  elseif operation == 'put' then
    redis.call('HSET', session, 'v:' .. key, argument())
    result = written(key)
  elseif operation == 'replace' then
    local value, version = entry(key)
    local put, expected = argument(), argument()
    if version == expected then
      redis.call('HSET', session, 'v:' .. key, put)
      result = written(key)
    else
      result = { 'conflict', value, version }
    end
  elseif operation == 'delete' then
    redis.call('HDEL', session, 'v:' .. key, 'n:' .. key)
    result = { 'done', false, '0' }
  else
    local prefix = 'v:' .. key
    local fields = redis.call('HGETALL', session)
    result = { 'found' }
    for index = 1, #fields, 2 do
      if string.sub(fields[index], 1, #prefix) == prefix then
        result[#result + 1] = string.sub(fields[index], 3)
        result[#result + 1] = fields[index + 1]
      end
    end
  end
  results[#results + 1] = result
end
return results
