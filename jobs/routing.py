"""Which queue and actor the batches of a stage go to, and the message that points to one.

The names are stored in waiting messages, so they keep their meaning for good.
"""

from typing import Any

import dramatiq

from jobs.store.batches import Stage

ENFORCE_QUEUE = "enforce"
NOTIFY_QUEUE = "notify"

LETTERS = (Stage.NOTICE, Stage.DEFERRED, Stage.REPORT, Stage.LIFTED, Stage.REMIND_WEEK, Stage.REMIND_DAY, Stage.WEEK, Stage.DAY)
"""Stages that mailers do."""

ACTORS: dict[Stage, tuple[str, str]] = {
    Stage.PLAN: (ENFORCE_QUEUE, "plan_run"),
    Stage.ENFORCE: (ENFORCE_QUEUE, "enforce_batch"),
    Stage.SETTLE: (ENFORCE_QUEUE, "finish_run"),
    Stage.FINISH: (ENFORCE_QUEUE, "finish_run"),
    **dict.fromkeys(LETTERS, (NOTIFY_QUEUE, "notify_batch")),
}
"""Queue and actor per stage."""

ACTOR_NAMES = frozenset({"enforce"} | {actor for _, actor in ACTORS.values()})
"""Everything that a message may name."""


def hint(stage: Stage, *, run: int, batch: int, token: int) -> dramatiq.Message[Any]:
    """Return the message that points to one batch. Building it needs no actor, so a conductor loads none."""
    queue, actor = ACTORS[stage]
    return dramatiq.Message(queue_name=queue, actor_name=actor, args=(), kwargs={"run": run, "batch": batch, "token": token}, options={})
