-- Where a channel stands. Returns {epoch, seq, base, now ms, oldest seq in the ring or "", state seq,
-- state wall ms, state}; the last three are "" without a state, or when ARGV[1] is not "1".
-- KEYS: ring, meta, state of the channel.
local channel = channel_of(KEYS[1], KEYS[2], KEYS[3])
local oldest = redis.call("XRANGE", KEYS[1], "-", "+", "COUNT", 1)[1]
local state = {false, false, false}
if ARGV[1] == "1" then state = redis.call("HMGET", KEYS[3], "seq", "w", "d") end
return {channel.epoch, int(channel.seq), int(channel.base), int(now_ms),
        oldest and string.match(oldest[1], "^%d+") or "", state[1] or "", state[2] or "", state[3] or ""}
