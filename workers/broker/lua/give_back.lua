-- Return taken messages to the end of their queue and ring its bell.
--
-- KEYS  queue, taken, bell
-- ARGV  time to live (ms), token ...
--
-- Returns how many were still there to return.
local queue, taken, bell = KEYS[1], KEYS[2], KEYS[3]
local count = 0

for i = 2, #ARGV do
    local message = redis.call('HGET', taken, ARGV[i])
    if message then
        redis.call('HDEL', taken, ARGV[i])
        redis.call('RPUSH', queue, message)
        count = count + 1
    end
end
if count > 0 then
    redis.call('PEXPIRE', queue, ARGV[1])
    ring(bell, count)
end
return count
