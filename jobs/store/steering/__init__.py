"""What people order: pause, resume, cancel, replay, discard, limits, breakers, drains. Command line, console and API all come through here.

Each order writes its effect and one row of `portcullis.action` in one transaction, and rings the conductor. Two people who act at once are
put in a row by PostgreSQL; the second finds that there is nothing left to act on, and nothing is done twice. The gate is never touched.
"""

from jobs.store.steering.actions import Action, list_actions, note
from jobs.store.steering.breakers import Breaker, close_breaker, list_breakers
from jobs.store.steering.dead import (
    DISCARDABLE,
    DeadBatch,
    DeadGroup,
    DeadTally,
    Selection,
    count,
    discard,
    list_dead_groups,
    replay,
    show_dead,
)
from jobs.store.steering.limits import LimitScope, SendLimit, clear_limit, list_limits, set_limit
from jobs.store.steering.orders import MalformedOrderError, Order, Refused, Stale, Unknown, Via
from jobs.store.steering.pauses import Pause, PauseScope, list_pauses, pause, resume
from jobs.store.steering.runs import cancel
from jobs.store.steering.workers import WorkerSeen, drain_worker, list_workers

__all__ = [
    "DISCARDABLE",
    "Action",
    "Breaker",
    "DeadBatch",
    "DeadGroup",
    "DeadTally",
    "LimitScope",
    "MalformedOrderError",
    "Order",
    "Pause",
    "PauseScope",
    "Refused",
    "Selection",
    "SendLimit",
    "Stale",
    "Unknown",
    "Via",
    "WorkerSeen",
    "cancel",
    "clear_limit",
    "close_breaker",
    "count",
    "discard",
    "drain_worker",
    "list_actions",
    "list_breakers",
    "list_dead_groups",
    "list_limits",
    "list_pauses",
    "list_workers",
    "note",
    "pause",
    "replay",
    "resume",
    "set_limit",
    "show_dead",
]
