-- Let one more session of an account in, unless its plan's number is reached. Sessions of processes whose
-- lease has run out (killed) are removed first. Returns the number of sessions with this one, or 0.
-- KEYS[1] hash session id → "process|document". ARGV: 1 session id  2 process  3 document  4 limit
--         5 prefix of leases
local entries = redis.call("HGETALL", KEYS[1])
local alive, count = {}, 0
for i = 1, #entries, 2 do
  local process = string.match(entries[i + 1], "^([^|]*)|")
  if alive[process] == nil then alive[process] = redis.call("EXISTS", ARGV[5] .. process) == 1 end
  if alive[process] then count = count + 1 else redis.call("HDEL", KEYS[1], entries[i]) end
end
if count >= tonumber(ARGV[4]) then return 0 end
redis.call("HSET", KEYS[1], ARGV[1], ARGV[2] .. "|" .. ARGV[3])
redis.call("EXPIRE", KEYS[1], 86400)
return count + 1
