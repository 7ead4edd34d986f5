"""What the gate costs a request: one prepared statement on a connection that is open, over loopback, for members at random."""

import gc
import random
import time

import asyncpg

from workers.demo.people import Seeded

CALLS = 5_000
WARM_UP = 500
GATE = "SELECT portcullis.gate($1, $2, $3)"
ANSWERS = {"none", "second_factor_setup"}


async def gate_seconds(db: asyncpg.Connection, organization: Seeded) -> list[float]:
    """Return what each call took, in order. The organization must require the factor."""
    members = [
        row["user_id"]
        for row in await db.fetch(
            "SELECT user_id FROM app.memberships WHERE organization_id = $1 ORDER BY random() LIMIT $2",
            *(organization.organization_id, CALLS + WARM_UP),
        )
    ]
    gate = await db.prepare(GATE)
    seconds: list[float] = []
    answers: set[str] = set()
    gc.collect()
    gc.disable()  # a pause of ours is none of the gate's
    try:
        for member in random.choices(members, k=CALLS + WARM_UP):
            begin = time.perf_counter()
            answers.add(await gate.fetchval(member, organization.organization_id, "password"))
            seconds.append(time.perf_counter() - begin)
    finally:
        gc.enable()
    assert answers == ANSWERS, f"the gate answered {answers}"
    return seconds[WARM_UP:]
