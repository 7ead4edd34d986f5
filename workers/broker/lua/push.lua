-- Append messages to a queue and ring its bell.
--
-- KEYS  queue, bell
-- ARGV  how many may wait, time to live (ms), message ...
--
-- Returns 0; or, when none was appended, 1: they do not fit, 2: Redis is out of memory.
-- RPUSH is the first write on purpose: at maxmemory Redis refuses a script by its first write only, so it is all or nothing.
-- The refusal is caught here, because Redis 6.2 would wrap it beyond recognition.
local queue, bell = KEYS[1], KEYS[2]
local count = #ARGV - 2

if redis.call('LLEN', queue) + count > tonumber(ARGV[1]) then
    return 1
end
local pushed = redis.pcall('RPUSH', queue, ARGV[3])
if type(pushed) == 'table' then
    return string.find(pushed.err, 'OOM', 1, true) and 2 or pushed
end
for i = 4, #ARGV do
    redis.call('RPUSH', queue, ARGV[i])
end
redis.call('PEXPIRE', queue, ARGV[2])
ring(bell, count)
return 0
