-- Put up to `count` tokens on a bell, so that as many idle consumers wake at once.
--
-- The bell is only a wake-up call: it is short, and it expires. A consumer that misses it looks by itself within a second.
local function ring(bell, count)
    for _ = 1, math.min(count, 64) do
        redis.call('LPUSH', bell, '1')
    end
    redis.call('LTRIM', bell, 0, 63)
    redis.call('PEXPIRE', bell, 10000)
end

