-- Give charges back, each at most once per generation of the counters.
-- KEYS[1] sentinel. ARGV: 1 generation  2 seconds to remember  3… usage id, day counter, month counter, cost.
-- A generation that is over was recounted from the log, refunds included: nothing to do then.
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
local given = 0
for i = 3, #ARGV, 4 do
  local marker = "focsal:usage:refunded:" .. ARGV[1] .. ":" .. ARGV[i]
  if redis.call("SET", marker, "1", "NX", "EX", ARGV[2]) then
    for j = 1, 2 do
      if redis.call("EXISTS", ARGV[i + j]) == 1 then
        redis.call("DECRBY", ARGV[i + j], ARGV[i + 3])
      end
    end
    given = given + 1
  end
end
return given
