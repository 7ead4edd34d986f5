"""What the stages of one worker process share: opened on its event loop at boot, closed after its last stage."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from jobs.breakers import Breakers
from jobs.keys import Key
from jobs.letters import Composer
from jobs.ports import Limiter, Mailer
from jobs.recorder import LedgerRecorder
from jobs.store.database import Pool


async def nobody_waits() -> bool:
    """Say no: the answer of whoever can't see the queue."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What only mailers have. `others_wait`: whether an organization that has little in flight waits for a worker.

    Without `breakers` nothing is held back but by the limiter and the relay.
    """

    mailer: Mailer
    limiter: Limiter
    recorder: LedgerRecorder
    composer: Composer
    breakers: Breakers | None = None
    others_wait: Callable[[], Awaitable[bool]] = nobody_waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a stage may use. `holder` names the process in claims; `draining` is set as soon as the process was told to stop.

    `audit_key` vouches for what this process writes down; without it the record stands unvouched for until it is sealed.
    """

    pool: Pool
    holder: str
    mail: Mail | None = None
    audit_key: Key | None = None
    lease: timedelta = timedelta(seconds=60)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    held: set[int] = field(default_factory=set)
    """Batches that this process works on."""


_current: list[Resources] = []


def provide(resources: Resources) -> None:
    """Make `resources` the ones that the actors of this process use."""
    _current[:] = [resources]


def withdraw() -> None:
    """Forget them, at shutdown."""
    _current.clear()


def current() -> Resources:
    """Return this process's resources.

    Raises:
        LookupError: No worker has booted here: actors run in workers, started by `dramatiq workers.main:broker`.
    """
    if not _current:
        raise LookupError("no worker has booted in this process; actors run under `dramatiq workers.main:broker`")
    return _current[0]
