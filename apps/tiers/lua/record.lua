-- Write a key's record unless a newer one is there: a slow loader must not undo a revocation.
-- KEYS[1] record. ARGV: 1 version  2 time to live in s  3… field, value pairs. Returns 1 when written.
local current = redis.call("HGET", KEYS[1], "version")
if current and tonumber(current) > tonumber(ARGV[1]) then return 0 end
redis.call("DEL", KEYS[1])
redis.call("HSET", KEYS[1], "version", ARGV[1], unpack(ARGV, 3))
redis.call("EXPIRE", KEYS[1], ARGV[2])
return 1
