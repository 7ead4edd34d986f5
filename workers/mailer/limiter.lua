-- Take letters from all sending limits in one step, by the server's clock.
--
-- KEYS  relay, organization, the day's quota, the contended domains, then each recipient domain
-- ARGV  relay rate, organization rate, domain rate (letters/s, 0: off), quota (letters in 24 h, 0: off), organization,
--       now (microseconds, 0: the server's clock), then the letters wanted for each domain, then, if any domain has one of its own, the
--       rate of each domain
-- Returns the letters granted for each domain, then the microseconds until more may leave (0: nothing was held back), then 1 if only
-- domains held letters back, so that letters to others may leave meanwhile.
--
-- A rate is a GCRA: one number, the theoretical arrival time (TAT) of the next letter. Its burst is one second's worth, at least one
-- letter. A rate may change between two calls: a TAT further away than the present burst is brought back. Relay and domain are
-- shared: whoever they held back contends for them until satisfied, or not back within 2 s, and of n contenders each gets 1/n. Every
-- key lives only as long as it says something.

local DAY, SLOT, STOP_AT = 86400000000, 900000000, 0.95
local CONTENDS, PATIENCE = 2000000, 100000
local HEAD, CHUNK = 4, 4000
local organization, now = ARGV[5], tonumber(ARGV[6])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local function ttl(microseconds)
  return string.format('%.0f', math.ceil(microseconds / 1000) + 1)
end

local function rate_limit(key, rate, tat)
  local gap = 1000000 / rate
  local burst = math.max(1, rate) * gap
  tat = math.max(tonumber(tat or redis.call('GET', key) or 0), now)
  if tat > now + burst then
    tat = now + burst
    redis.call('SET', key, string.format('%.3f', tat), 'PX', ttl(burst))
  end
  return {key = key, gap = gap, tat = tat, burst = burst, left = math.floor((burst - (tat - now)) / gap + 0.000001)}
end

local function spend(limit, letters)
  if letters == 0 then return end
  limit.tat, limit.left = limit.tat + letters * limit.gap, limit.left - letters
  redis.call('SET', limit.key, string.format('%.3f', limit.tat), 'PX', ttl(limit.tat - now))
end

-- Whoever wants many letters waits for 100 ms worth of them, instead of calling for each.
local function wait(limit, letters)
  local worth = math.max(1, math.min(letters, math.floor(PATIENCE / limit.gap), limit.burst / limit.gap))
  return math.max(1, limit.tat + worth * limit.gap - limit.burst - now)
end

-- Who contends for a shared rate at present: how many others, and whether this organization is known to.
local function contenders_for(key)
  local contenders = key .. ':contenders'
  local all = redis.call('ZCARD', contenders)
  if all == 0 then return 0, false end
  all = all - redis.call('ZREMRANGEBYSCORE', contenders, '-inf', string.format('%.0f', now - CONTENDS))
  local known = redis.call('ZSCORE', contenders, organization) and true or false
  return all - (known and 1 or 0), known
end

-- The limits that a shared rate stands for: itself, and this organization's part while others contend.
local function shared(key, rate, tat, quiet)
  local others, known = 0, false
  if not quiet then others, known = contenders_for(key) end
  local limits = {rate_limit(key, rate, tat)}
  if others > 0 then limits[2] = rate_limit(key .. ':share:' .. organization, rate / (others + 1)) end
  return {key = key, limits = limits, known = known}
end

local function note(key, member)
  redis.call('ZADD', key, string.format('%.0f', now), member)
  redis.call('PEXPIRE', key, ttl(CONTENDS))
end

local function contend(share, held_back, register)
  if held_back then
    note(share.key .. ':contenders', organization)
    if register then note(register, share.key) end
  elseif share.known then
    redis.call('ZREM', share.key .. ':contenders', organization)
  end
end

-- What is stored for every domain, in few calls; and which of them are contended at all.
local function domain_tats()
  local tats = {}
  for first = HEAD + 1, #KEYS, CHUNK do
    local found = redis.call('MGET', unpack(KEYS, first, math.min(first + CHUNK - 1, #KEYS)))
    for _, tat in ipairs(found) do tats[#tats + 1] = tat end
  end
  return tats
end

local function contended_domains()
  local contended = {}
  if redis.call('EXISTS', KEYS[4]) == 1 then
    for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], string.format('%.0f', now - CONTENDS), '+inf')) do contended[key] = true end
  end
  return contended
end

local function left(limits)
  local least = math.huge
  for _, limit in ipairs(limits) do least = math.min(least, limit.left) end
  return math.max(0, least)
end

local function longest_wait(limits, letters)
  local longest = 0
  for _, limit in ipairs(limits) do
    if limit.left < 1 then longest = math.max(longest, limit.wait or wait(limit, letters)) end
  end
  return longest
end

-- The last 24 hours in slots of 15 minutes; a slot counts until all of it is older. Ends at 95 %: password resets must still leave.
local function day_quota(key, letters)
  local used, oldest = 0, math.floor(now / SLOT)
  local slots = redis.call('HGETALL', key)
  for i = 1, #slots, 2 do
    local slot = tonumber(slots[i])
    if (slot + 1) * SLOT <= now - DAY then
      redis.call('HDEL', key, slots[i])
    else
      used, oldest = used + tonumber(slots[i + 1]), math.min(oldest, slot)
    end
  end
  return {key = key, left = math.floor(letters * STOP_AT) - used, wait = (oldest + 1) * SLOT + DAY - now}
end

local function spend_quota(quota, letters)
  if letters == 0 then return end
  quota.left = quota.left - letters
  redis.call('HINCRBY', quota.key, string.format('%.0f', math.floor(now / SLOT)), letters)
  redis.call('PEXPIRE', quota.key, ttl(DAY + SLOT))
end

-- What limits all domains together.
local relay_rate, organization_rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local domains = #KEYS - HEAD
local own_rates = #ARGV > 6 + domains
local limits_domains = own_rates or tonumber(ARGV[3]) > 0
local everywhere, relay, quota = {}, nil, nil
if relay_rate > 0 then
  relay = shared(KEYS[1], relay_rate)
  for _, limit in ipairs(relay.limits) do table.insert(everywhere, limit) end
end
if organization_rate > 0 then table.insert(everywhere, rate_limit(KEYS[2], organization_rate)) end
if tonumber(ARGV[4]) > 0 then
  quota = day_quota(KEYS[3], tonumber(ARGV[4]))
  table.insert(everywhere, quota)
end

-- Small demands first: a domain of one letter is not behind one of five hundred.
local order, wanted = {}, {}
for i = 1, domains do
  order[i], wanted[i] = i, tonumber(ARGV[6 + i])
end
table.sort(order, function(a, b) return wanted[a] < wanted[b] or (wanted[a] == wanted[b] and a < b) end)

local remaining, total, missing, domain_wait = left(everywhere), 0, 0, math.huge
local answer, tats, contended = {}, {}, {}
if limits_domains then tats, contended = domain_tats(), contended_domains() end
for _, i in ipairs(order) do
  local key = KEYS[HEAD + i]
  local domain_rate = tonumber(ARGV[own_rates and 6 + domains + i or 3])
  local domain = domain_rate > 0 and shared(key, domain_rate, tats[i] or 0, not contended[key]) or {limits = {}}
  local possible = left(domain.limits)
  local granted = math.min(wanted[i], possible, remaining)
  for _, limit in ipairs(domain.limits) do spend(limit, granted) end
  if domain_rate > 0 then contend(domain, possible < wanted[i], KEYS[4]) end
  answer[i], total, remaining = granted, total + granted, remaining - granted
  if granted < wanted[i] then
    missing = missing + wanted[i] - granted
    domain_wait = math.min(domain_wait, longest_wait(domain.limits, wanted[i] - granted))
  end
end

for _, limit in ipairs(everywhere) do
  if limit == quota then spend_quota(quota, total) else spend(limit, total) end
end
if relay then contend(relay, missing > 0 and left(relay.limits) < 1) end
table.insert(answer, missing == 0 and 0 or math.ceil(math.max(domain_wait, longest_wait(everywhere, missing))))
table.insert(answer, missing > 0 and left(everywhere) >= 1 and 1 or 0)
return answer
