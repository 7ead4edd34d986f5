"""A mailer process without a broker, to be killed: takes every batch of letters that is free, one after the other, until its end.

    python -m tests.pipeline.lone_mailer DATABASE_URL REDIS_URL RELAY_PORT

Imports once, and forks a new mailer for each line on standard input, whose process id it prints: hundreds of lives in a minute. What a
mailer does with a batch is the real thing, from the claim to the ledger; only the hint is missing.
"""

import asyncio
import os
import signal
import sys
from types import SimpleNamespace
from typing import Any, cast

import structlog

from jobs.claiming import run_claimed
from jobs.resources import Resources
from jobs.routing import LETTERS
from jobs.stages.remind import write_letters
from jobs.store.breakers import Rules
from jobs.store.database import open_pool
from tests.pipeline.world import a_mailroom

FREE = """
    SELECT run_id, batch_id, token FROM portcullis.batch
    WHERE stage = 'notice' AND state = 'open' AND next_at <= now() AND (leased_until IS NULL OR leased_until < now())
    ORDER BY batch_id LIMIT 4
"""


async def live(database_url: str, redis_url: str, port: int) -> None:
    """Send letters until killed."""
    pool = await open_pool(database_url, size=6)
    relay = cast("Any", SimpleNamespace(port=port))
    async with a_mailroom(pool, redis_url, relay, rules=Rules(patience=0.2)) as mail:
        resources = Resources(pool=pool, holder=f"lone:{os.getpid()}", mail=mail)
        while True:
            free = await pool.fetch(FREE)
            await asyncio.gather(
                *(
                    run_claimed(
                        resources, write_letters, stages=LETTERS, run_id=row["run_id"], batch_id=row["batch_id"], token=row["token"]
                    )
                    for row in free
                )
            )
            await asyncio.sleep(0.01)


def main() -> None:
    """Give birth whenever told to."""
    database_url, redis_url, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: the one who kills looks whether they are gone
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            asyncio.run(live(database_url, redis_url, port))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
