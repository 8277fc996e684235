-- Prelude of every feed script: a channel's epoch and last seq, made anew when they cannot be trusted.
--
-- ring    stream  entries "<seq>-0": t event ms, w wall ms, d data
-- meta    hash    run, epoch, seq, base
-- state   hash    seq, w, d: the whole state after that seq, for channels whose events are changes
--
-- RUN is this Redis process' run id, written into the source by the loader: a restarted Redis does not know
-- the script, so that no writer can go on with what a lost second of the append-only file may have changed.
-- Seqs begin at the wall clock's milliseconds and so rise over epochs too: a position of an older epoch is
-- never taken for one of this.
local time = redis.call("TIME")
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function int(value)
  return string.format("%.0f", value)
end

local function begin_epoch(channel)
  channel.base = math.max(now_ms, (channel.seq or 0) + 1)
  channel.seq = channel.base
  channel.epoch = string.format("%x%05x", tonumber(time[1]), tonumber(time[2]))
  redis.call("DEL", channel.ring, channel.state)
  redis.call("HSET", channel.meta, "run", RUN, "epoch", channel.epoch, "seq", int(channel.seq),
    "base", int(channel.base))
end

local function channel_of(ring, meta, state)
  local found = redis.call("HMGET", meta, "run", "epoch", "seq", "base")
  local channel = {ring = ring, meta = meta, state = state, epoch = found[2], seq = tonumber(found[3]),
    base = tonumber(found[4])}
  if found[1] ~= RUN then begin_epoch(channel) end
  return channel
end
