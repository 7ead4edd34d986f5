-- Return to their queue what dead consumers had taken, and forget those consumers.
--
-- KEYS  queue, alive, bell
-- ARGV  dead after (ms without a beat), beginning of the names of `taken` keys, time to live (ms)
--
-- Returns how many messages were returned. They go to the end: one of them may be what killed its consumer.
local queue, alive, bell = KEYS[1], KEYS[2], KEYS[3]

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local count = 0

for _, consumer in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', now - ARGV[1], 'LIMIT', 0, 100)) do
    local taken = ARGV[2] .. consumer
    local messages = redis.call('HVALS', taken)
    redis.call('ZREM', alive, consumer)
    redis.call('DEL', taken)
    for _, message in ipairs(messages) do
        redis.call('RPUSH', queue, message)
        count = count + 1
    end
end
if count > 0 then
    redis.call('PEXPIRE', queue, ARGV[3])
    ring(bell, count)
end
return count
