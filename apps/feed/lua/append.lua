-- Append one event to a channel's ring and number it. Returns its seq, or "0" for one that is there already.
-- KEYS[4] writer  string  the number of this writer's last event, so that a repeated batch adds nothing twice
-- ARGV: 1 data  2 event ms  3 ring ms  4 ring length  5 number of the event  6 "1" begins a new epoch
--       7 whole state after this event, or ""
local number = tonumber(ARGV[5])
if number > 0 then
  local last = tonumber(redis.call("GET", KEYS[4]) or 0)
  if number <= last then return "0" end
  redis.call("SET", KEYS[4], ARGV[5], "EX", 3600)
end
if ARGV[6] == "1" then begin_epoch() end
seq = seq + 1
local text = int(seq)
redis.call("HSET", KEYS[2], "seq", text)
redis.call("XADD", KEYS[1], "MAXLEN", "~", ARGV[4], text .. "-0", "t", ARGV[2], "w", int(now_ms), "d", ARGV[1])
local ring_ms = tonumber(ARGV[3])
-- Two go for each that comes: a ring that was filled by a burst empties again.
for _ = 1, 2 do
  local oldest = redis.call("XRANGE", KEYS[1], "-", "+", "COUNT", 1)[1]
  if not oldest or tonumber(oldest[2][4]) >= now_ms - ring_ms then break end
  redis.call("XDEL", KEYS[1], oldest[1])
end
redis.call("PEXPIRE", KEYS[1], int(ring_ms + 60000))
if ARGV[7] ~= "" then
  redis.call("HSET", KEYS[3], "seq", text, "w", int(now_ms), "d", ARGV[7])
  redis.call("PEXPIRE", KEYS[3], int(ring_ms + 60000))
end
return text
