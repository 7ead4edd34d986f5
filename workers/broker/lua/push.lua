-- Append messages to a queue and ring its bell.
--
-- KEYS  queue, bell
-- ARGV  how many may wait, time to live (ms), message ...
--
-- Returns the new length, or -1 when they do not fit; then none was appended.
-- RPUSH is the first write on purpose: at maxmemory Redis refuses a script by its first write only, so it is all or nothing.
local queue, bell = KEYS[1], KEYS[2]
local count = #ARGV - 2

if redis.call('LLEN', queue) + count > tonumber(ARGV[1]) then
    return -1
end
for i = 3, #ARGV do
    redis.call('RPUSH', queue, ARGV[i])
end
redis.call('PEXPIRE', queue, ARGV[2])
ring(bell, count)
return redis.call('LLEN', queue)
