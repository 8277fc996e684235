-- Admission of one request in one round trip: key, tier, minute window, day and month quota,
-- 304 decision, usage event. Redis 6.2, single primary (key names are built here from the key's record).
--
-- KEYS[1] key record          hash  focsal:auth:key:<sha256>, or "" for a session
-- KEYS[2] snapshot            hash  fields v, ts, cad, or "" when the request names none
-- KEYS[3] usage events        stream
-- KEYS[4] sentinel            exists as long as the counters are complete
-- ARGV: 1 environment  2 cost  3 layer  4 If-None-Match candidates "<version>-<letter> …" or "*"
--       5 market now, ms  6 request id  7 method  8 path  9 market  10 wall clock in µs or ""
--       11 metric  12 params  13 session record "user;account;plan;layers;rate;layer plans" or ""
--       14 the caller's address as family and binary digits ("4:1100…"), or "" when it is not known
-- Returns {outcome, key, account, user, plan, layers, limit, remaining, reset_s, day_remaining,
--          month_remaining, retry_after_s, charged, usage_id, ts_us, snap_v, snap_ts, snap_cad,
--          quota, denied_by, layer_plans}

local WINDOW_US = 60000000
-- Of a key's refusals in one minute, so many enter the usage log; a bot gone wild must not fill it.
local LOGGED_REFUSALS = 60
local PREFIX = "focsal:auth:"

local now_us
if ARGV[10] ~= "" then
  now_us = tonumber(ARGV[10])
else
  local time = redis.call("TIME")
  now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local now_s = math.floor(now_us / 1000000)

local function int(value)
  return string.format("%.0f", value)
end

-- Year and month of a day number since 1970 (proleptic Gregorian; H. Hinnant, "chrono-compatible
-- low-level date algorithms").
local function civil(days)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor(
    (doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400
  if month <= 2 then year = year + 1 end
  return year, month
end

local function days_from_civil(year, month)
  if month <= 2 then year = year - 1 end
  local era = math.floor(year / 400)
  local yoe = year - era * 400
  local mp = month > 2 and month - 3 or month + 9
  local doy = math.floor((153 * mp + 2) / 5)
  return era * 146097 + yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + doy - 719468
end

-- Who asks.
local is_session = ARGV[13] ~= ""
local key_id, account, user, plan, layers, plan_layers, rate, layer_plans = "0", "0", "0", "", "", "", 0, ""
local quota_day, quota_month = 0, 0
local record_env = ARGV[1]

local function refuse(outcome)
  return {outcome, key_id, account, user, plan, layers, "0", "0", "0", "0", "0", "", "0", "", "0",
          "", "", "", "", "", layer_plans}
end

if is_session then
  user, account, plan, layers, rate, layer_plans =
    string.match(ARGV[13], "^([^;]*);([^;]*);([^;]*);([^;]*);([^;]*);(.*)$")
  plan_layers = layers
  rate = tonumber(rate)
else
  local record = redis.call("HMGET", KEYS[1], "key", "account", "env", "status", "plan", "layers",
    "plan_layers", "rate", "day", "month", "expires", "layer_plans", "ips", "suspended")
  if not record[4] or record[4] == "unknown" then
    -- The answer tells a missing record (ask PostgreSQL) from a known unknown (don't).
    local answer = refuse("unknown_key")
    if record[4] then answer[20] = "known" end
    return answer
  end
  key_id, account, record_env, plan = record[1], record[2], record[3], record[5]
  layers, plan_layers, rate, layer_plans = record[6], record[7], tonumber(record[8]), record[12]
  quota_day, quota_month = tonumber(record[9]), tonumber(record[10])
  if record[4] ~= "active" then return refuse("revoked") end
  if record_env ~= ARGV[1] then return refuse("wrong_environment") end
  local expires = tonumber(record[11])
  if expires > 0 and now_s >= expires then return refuse("expired") end
  local suspended = tonumber(record[14] or 0)
  if suspended > now_s then
    local answer = refuse("suspended")
    answer[12] = int(suspended - now_s)
    return answer
  end
  -- Refused before anything is counted: a stolen key spends none of its owner's calls.
  if record[13] and record[13] ~= "" then
    local is_listed = false
    for prefix in string.gmatch(record[13], "[^,]+") do
      is_listed = is_listed or string.sub(ARGV[14], 1, #prefix) == prefix
    end
    if not is_listed then return refuse("ip_not_allowed") end
  end
end

-- Day and month, and whether these counters are complete.
local day_number = math.floor(now_s / 86400)
local year, month = civil(day_number)
local day_key, month_key, day_used, month_used
if not is_session then
  local owner = account .. ":" .. record_env .. ":"
  day_key = PREFIX .. "day:" .. owner .. day_number
  month_key = PREFIX .. "month:" .. owner .. string.format("%04d%02d", year, month)
  local counts = redis.call("MGET", day_key, month_key, KEYS[4])
  if not counts[3] then return refuse("rebuild_counters") end
  day_used, month_used = tonumber(counts[1] or 0), tonumber(counts[2] or 0)
end

-- Tier: refused requests still pass through the limits and cost one call.
local cost = tonumber(ARGV[2])
local denied_by = ""
if ARGV[3] ~= "" and not string.find("," .. layers .. ",", "," .. ARGV[3] .. ",", 1, true) then
  denied_by = string.find("," .. plan_layers .. ",", "," .. ARGV[3] .. ",", 1, true) and "key" or "plan"
  cost = 1
end
if rate == 0 then
  -- A plan without API: there is no window to count in.
  local answer = refuse("tier_required")
  answer[20] = "plan"
  return answer
end

-- Minute: an exact sliding window. A request at t is out of the window at t + 60 s.
local window = PREFIX .. "min:" .. (is_session and "u" .. user or key_id)
local oldest = tonumber(redis.call("ZRANGE", window, 0, 0, "WITHSCORES")[2])
if oldest and oldest <= now_us - WINDOW_US then
  redis.call("ZREMRANGEBYSCORE", window, "-inf", int(now_us - WINDOW_US))
  oldest = tonumber(redis.call("ZRANGE", window, 0, 0, "WITHSCORES")[2])
end
local used = oldest and redis.call("ZCARD", window) or 0
local reset_us = (oldest or now_us) + WINDOW_US

local snap = {false, false, false}
if KEYS[2] ~= "" and denied_by == "" then snap = redis.call("HMGET", KEYS[2], "v", "ts", "cad") end

local function answer(outcome, remaining, free_at_us, retry_after_s, charged, usage_id, quota)
  local day_left, month_left = 0, 0
  if not is_session then
    day_left = math.max(0, quota_day - day_used - charged)
    month_left = math.max(0, quota_month - month_used - charged)
  end
  return {outcome, key_id, account, user, plan, layers, int(rate), int(remaining),
          int(math.ceil(free_at_us / 1000000)), int(day_left), int(month_left), retry_after_s,
          int(charged), usage_id, int(now_us), snap[1] or "", snap[2] or "", snap[3] or "",
          quota, denied_by, layer_plans}
end

local function log(charged)
  -- The stream's own entry id is the identity: callers may repeat their request ids.
  return redis.call("XADD", KEYS[3], "*", "ts", int(now_us), "r", ARGV[6], "a", account,
    "k", key_id, "e", record_env, "m", ARGV[9], "x", ARGV[11], "h", ARGV[7], "p", ARGV[8],
    "q", ARGV[12], "c", int(charged))
end

-- A refusal is counted by key and minute. One minute with twice the plan's rate refused is a strike:
-- keys.enforce reads them, warns, and suspends who goes on.
local function count_refusal()
  local minute = int(math.floor(now_s / 60))
  local name = PREFIX .. "refused:" .. key_id .. ":" .. minute
  local count = redis.call("INCR", name)
  if count == 1 then redis.call("EXPIRE", name, 120) end
  if count == math.max(60, 2 * rate) then
    redis.call("ZADD", PREFIX .. "strikes", int(now_s), key_id .. ":" .. minute)
  end
  return count <= LOGGED_REFUSALS and log(0) or ""
end

if used >= rate then
  -- When this entry leaves, one place is free (the oldest, unless the plan's rate was lowered).
  local free_us = reset_us
  if used > rate then
    local entry = redis.call("ZRANGE", window, used - rate, used - rate, "WITHSCORES")
    free_us = tonumber(entry[2]) + WINDOW_US
  end
  local wait = math.max(1, math.ceil((free_us - now_us) / 1000000))
  local refusal_id = is_session and "" or count_refusal()
  return answer("rate_limited", 0, free_us, int(wait), 0, refusal_id, "")
end

-- 304: the caller's copy has the snapshot's version and freshness.
local not_modified = false
if snap[1] and ARGV[4] ~= "" then
  local age_s = math.max(0, math.floor((tonumber(ARGV[5]) - tonumber(snap[2])) / 1000))
  local cadence = tonumber(snap[3])
  local letter = age_s <= 2 * cadence and "f" or (age_s <= 5 * cadence and "s" or "v")
  not_modified = ARGV[4] == "*"
    or string.find(" " .. ARGV[4] .. " ", " " .. snap[1] .. "-" .. letter .. " ", 1, true) ~= nil
end

local charged = 0
if not is_session and not not_modified then
  local next_month = month == 12 and days_from_civil(year + 1, 1) or days_from_civil(year, month + 1)
  if month_used + cost > quota_month then
    return answer("quota_exceeded", rate - used, reset_us, int(next_month * 86400 - now_s), 0, "", "month")
  end
  if day_used + cost > quota_day then
    return answer("quota_exceeded", rate - used, reset_us,
      int((day_number + 1) * 86400 - now_s), 0, "", "day")
  end
  charged = cost
end

local outcome = denied_by ~= "" and "tier_required" or (not_modified and "not_modified" or "admitted")
local usage_id = ""
local member
if is_session then
  member = redis.call("INCR", PREFIX .. "session-seq")
else
  usage_id = log(charged)
  member = usage_id
end
redis.call("ZADD", window, int(now_us), member)
redis.call("PEXPIRE", window, 61000)
if charged > 0 then
  if redis.call("INCRBY", day_key, int(charged)) == charged then
    redis.call("EXPIRE", day_key, 3 * 86400)
  end
  if redis.call("INCRBY", month_key, int(charged)) == charged then
    redis.call("EXPIRE", month_key, 35 * 86400)
  end
end
return answer(outcome, rate - used - 1, reset_us, "", charged, usage_id, "")
