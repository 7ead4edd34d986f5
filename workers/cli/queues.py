"""Both queues, seen from Redis and from PostgreSQL. The work is in PostgreSQL; what Redis holds are hints at it."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict

import redis

from jobs.store import operations, steering
from jobs.store.operations import QueueCount
from workers.broker import Depth
from workers.broker.portcullis_broker import connect, count_hints
from workers.cli.database import connected
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import AsJson
from workers.cli.screen import note, span, table, tell, tell_json
from workers.settings import DatabaseSettings, RedisSettings

HEADINGS = ("QUEUE", "WORKERS", "DUE", "LATER", "IN FLIGHT", "DEAD", "OLDEST DUE", "HINTS WAITING", "HINTS TAKEN", "REJECTED")


class _Needed(DatabaseSettings, RedisSettings):
    """What counting both sides takes."""


async def queues(*, as_json: AsJson = False) -> ExitCode:
    """Show both queues: what is due, how old the oldest is, and who serves them.

    Due and unserved means that workers are missing; due and no hints waiting means that no conductor leads. With Redis away the part of
    PostgreSQL is shown all the same. Needs DATABASE_URL and REDIS_URL.

    ```console
    $ portcullis queues
    $ portcullis queues --json | jq '.queues[] | {queue, due, dead}'
    ```
    """
    settings = _Needed.load()
    async with connected() as db:
        counts = await operations.count_queues(db)
        pauses = await steering.list_pauses(db)
    depths, failure = _depths(settings.redis_url.get_secret_value())
    if as_json:
        paused = [asdict(pause) for pause in pauses]
        redis_ = failure and failure.as_json()["error"]
        tell_json({"queues": [_document(count, depths) for count in counts], "paused": paused, "redis": redis_})
    else:
        tell(*table(HEADINGS, [_row(count, depths.get(count.queue)) for count in counts]))
        tell(*(f"Paused: {pause.scope} {pause.subject}".rstrip() + f", by {pause.paused_by}: {pause.reason}" for pause in pauses))
    if failure is None:
        return ExitCode.OK
    if not as_json:
        note(*failure.as_lines())
    return failure.code


def _depths(url: str) -> tuple[Mapping[str, Depth], Failure | None]:
    try:
        with closing(connect(url)) as client:
            return count_hints(client), None
    except ValueError:
        to_do = "Write it as redis://user:password@host:6379/0, special characters percent-encoded."
        return {}, Failure(ExitCode.NOT_SET_UP, "configuration", "REDIS_URL can't be read", to_do)
    except (redis.RedisError, OSError) as error:
        to_do = "Start it, or correct REDIS_URL. Nothing is lost meanwhile: hints are published again."
        return {}, Failure(ExitCode.UNREACHABLE, "redis_unreachable", f"Redis of REDIS_URL can't be asked: {error}", to_do)


def _document(count: QueueCount, depths: Mapping[str, Depth]) -> dict[str, object]:
    depth = depths.get(count.queue)
    return {**asdict(count), "hints": None if depth is None else asdict(depth)}


def _row(count: QueueCount, depth: Depth | None) -> tuple[object, ...]:
    oldest = None if count.oldest_due_seconds is None else span(count.oldest_due_seconds)
    hints = (None, None) if depth is None else (depth.waiting, depth.taken)
    return (count.queue, count.workers, count.due, count.later, count.in_flight, count.dead, oldest, *hints, count.quarantined)
