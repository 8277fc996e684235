-- Append events to their channels' rings and number them. Returns a seq for each, "0" for one that is there
-- already.
-- KEYS[1] writer  string  the number of this writer's last event, so that a repeated batch adds nothing twice
-- ARGV: 1, 2, 3 beginnings of the names of ring, meta and state  4 MessagePack of
--   {number of the event before these in the same pipeline (without it these would be taken for the newest,
--    and it for a repetition), or 0;
--    channels: {name, ring ms, ring length};
--    events in the order of numbers: {channel (from 1), number, 1 begins a new epoch before it, event ms,
--    data, whole state after it or ""}}
-- Names are made here, as in tiers/lua/admit.lua: one argument costs a caller less than three for each channel.
local before, channels, events = unpack(cmsgpack.unpack(ARGV[4]))
local seqs, new = {}, {}
for i = 1, #channels do new[i] = {} end

local last = tonumber(redis.call("GET", KEYS[1]) or 0)
if last < before then return redis.error_reply("FEED the call before this one has failed") end
local had = last
for i, event in ipairs(events) do
  seqs[i] = "0"
  if event[2] > last then
    last = event[2]
    local places = new[event[1]]
    places[#places + 1] = i
  end
end
if last == had then return seqs end
-- Numbers are written before what they count: whatever ends a script midway leaves a hole, which readers are
-- told of, and never one number twice.
redis.call("SET", KEYS[1], int(last), "EX", 3600)

local function append(channel, places, from, to, most)
  redis.call("HSET", channel.meta, "seq", int(channel.seq + to - from + 1))
  for i = from, to do
    local event = events[places[i]]
    channel.seq = channel.seq + 1
    local text = int(channel.seq)
    redis.call("XADD", channel.ring, "MAXLEN", "~", most, text .. "-0", "t", int(event[4]), "w", int(now_ms),
      "d", event[5])
    if event[6] ~= "" then channel.whole, channel.whole_seq = event[6], text end
    seqs[places[i]] = text
  end
end

-- Two go for each that comes: a ring that was filled by a burst empties again.
local function trim(ring, until_ms, most)
  local oldest = redis.call("XRANGE", ring, "-", "+", "COUNT", 1)[1]
  if tonumber(oldest[2][4]) >= until_ms then return end
  for _, entry in ipairs(redis.call("XRANGE", ring, "-", "+", "COUNT", most)) do
    if tonumber(entry[2][4]) >= until_ms then break end
    redis.call("XDEL", ring, entry[1])
  end
end

for i, places in ipairs(new) do
  if #places > 0 then
    local name, ring_ms, ring_length = unpack(channels[i])
    local channel = channel_of(ARGV[1] .. name, ARGV[2] .. name, ARGV[3] .. name)
    local from = 1
    while from <= #places do
      if events[places[from]][3] == 1 then
        begin_epoch(channel)
        channel.whole = nil
      end
      local to = from
      while to < #places and events[places[to + 1]][3] ~= 1 do to = to + 1 end
      append(channel, places, from, to, ring_length)
      from = to + 1
    end
    trim(channel.ring, now_ms - ring_ms, 2 * #places)
    redis.call("PEXPIRE", channel.ring, int(ring_ms + 60000))
    if channel.whole then
      redis.call("HSET", channel.state, "seq", channel.whole_seq, "w", int(now_ms), "d", channel.whole)
      redis.call("PEXPIRE", channel.state, int(ring_ms + 60000))
    end
  end
end
return seqs
