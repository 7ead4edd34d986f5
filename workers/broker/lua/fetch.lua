-- Beat for a consumer, and take up to `wanted` messages for it.
--
-- KEYS  queue, taken, alive, bell, queue that goes first
-- ARGV  consumer, wanted, first token, longest message (bytes), prefix (bytes), time to live (ms)
--
-- Returns {ms since the consumer's last beat or -1, {token, message} ...}. Of a message that is too long only
-- {token, prefix, length, SHA-1} is returned: it shall not fill the memory of one worker after the other.
-- A taken message stays in `taken` under its token until it is settled, so it needs no id of its own, which could be forged.
-- Time is Redis's: no worker's clock can declare another one dead.
local queue, taken, alive, bell, first = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local consumer, wanted, token = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local longest, prefix, ttl = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]

-- The first write must be one that frees or at least takes no memory: then the others are let through at maxmemory too.
redis.call('PEXPIRE', taken, ttl)

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local last = redis.call('ZSCORE', alive, consumer)
redis.call('ZADD', alive, now, consumer)
redis.call('PEXPIRE', alive, ttl)

local reply = {last and now - tonumber(last) or -1}
for i = 1, wanted do
    local message = redis.call('LPOP', first) or redis.call('LPOP', queue)
    if not message then
        redis.call('DEL', bell)
        break
    end
    redis.call('HSET', taken, token, message)
    if #message > longest then
        reply[i + 1] = {tostring(token), string.sub(message, 1, prefix), #message, redis.sha1hex(message)}
    else
        reply[i + 1] = {tostring(token), message}
    end
    token = token + 1
end
redis.call('PEXPIRE', taken, ttl)
return reply
