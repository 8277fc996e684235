-- Prelude of every feed script: the channel's epoch and last seq, made anew when they cannot be trusted.
--
-- KEYS[1] ring    stream  entries "<seq>-0": t event ms, w wall ms, d data
-- KEYS[2] meta    hash    run, epoch, seq, base
-- KEYS[3] state   hash    seq, w, d: the whole state after that seq, for channels whose events are changes
--
-- RUN is this Redis process' run id, written into the source by the loader: a restarted Redis does not know
-- the script, so that no writer can go on with what a lost second of the append-only file may have changed.
-- Seqs begin at the wall clock's milliseconds and so rise over epochs too: a position of an older epoch is
-- never taken for one of this.
local time = redis.call("TIME")
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local meta = redis.call("HMGET", KEYS[2], "run", "epoch", "seq", "base")
local epoch, seq, base = meta[2], tonumber(meta[3]), tonumber(meta[4])

local function int(value)
  return string.format("%.0f", value)
end

local function begin_epoch()
  base = math.max(now_ms, (seq or 0) + 1)
  seq = base
  epoch = string.format("%x%05x", tonumber(time[1]), tonumber(time[2]))
  redis.call("DEL", KEYS[1], KEYS[3])
  redis.call("HSET", KEYS[2], "run", RUN, "epoch", epoch, "seq", int(seq), "base", int(base))
end

if meta[1] ~= RUN then begin_epoch() end
