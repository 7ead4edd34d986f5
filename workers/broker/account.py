"""What Portcullis's account in Redis has to be allowed, and no more: everything it keeps there begins with `portcullis:`.

    ACL SETUSER portcullis on >PASSWORD … what stands in ACCOUNT

`doctor` works under it too, and a test tries all of it on a real server.
"""

from typing import Final

HINTS: Final = (
    "+evalsha +script|load +lpush +rpush +lpop +blpop +ltrim +llen +hset +hget +hdel +hkeys +hvals +hlen"
    " +zadd +zrem +zscore +zrange +zrangebyscore +del +pexpire +time"
)
"""For conductor, enforcer and mailer: the queues."""

LIMITS: Final = "+get +set +exists +mget +hincrby +hgetall +zcard +zremrangebyscore"
"""For the mailer besides: the sending limits; metrics and console read them."""

LOOKS: Final = "+scan +info"
"""For people: the console finds the limits in use, `doctor` asks for version and maxmemory-policy."""

ACCOUNT: Final = f"~portcullis:* {HINTS} {LIMITS} {LOOKS}"
