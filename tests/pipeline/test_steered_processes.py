"""Real processes that are paused, killed while paused, and told to end; after each, the checker finds nothing wrong."""

import pytest

from jobs.store import steering
from jobs.store.steering import Order, PauseScope
from tests.builders import an_organization
from tests.pipeline.system import Visit

ORDER = Order(actor="ines", via="cli", reason="a new kernel")


async def test_everything_is_killed_while_letters_are_paused(visit: Visit) -> None:
    organization = await an_organization(visit.db, members=6)
    await steering.pause(visit.db, ORDER, PauseScope.QUEUE, "notify")
    run = await visit.require(organization)
    await visit.until(lambda: is_enforced(visit, run))
    for name in ("mailer", "enforcer", "conductor"):
        visit.system.kill(name)
    await visit.all_up()
    assert (await visit.status(run))["letters"]["owed"] == 7
    await steering.resume(visit.db, ORDER, PauseScope.QUEUE, "notify")
    status = await visit.until_done(run)
    assert (status["state"], status["sessions_ended"], status["letters"]["accepted"]) == ("done", 6, 7)


@pytest.mark.parametrize(("name", "queue"), [("enforcer", "enforce"), ("mailer", "notify")])
async def test_a_worker_that_is_told_to_drain_ends_with_0_and_is_listed_no_more(visit: Visit, name: str, queue: str) -> None:
    worker = await at_work(visit, queue)
    assert worker.worker == f"{worker.host}:{worker.pid}/{queue}"
    assert await steering.drain_worker(visit.db, ORDER, f"{worker.host}:{worker.pid}")
    [process] = visit.system.processes.pop(name)
    await visit.until(lambda: ended(process))
    assert process.returncode == 0
    assert worker.worker not in {seen.worker for seen in await steering.list_workers(visit.db)}
    await visit.all_up()
    status = await visit.until_done(await visit.require(await an_organization(visit.db, members=3)))
    assert (status["state"], status["letters"]["accepted"]) == ("done", 4)


async def test_a_worker_in_the_middle_of_a_batch_finishes_it_first(visit: Visit) -> None:
    organization = await an_organization(visit.db, members=4)
    worker = await at_work(visit, "enforce")
    async with visit.a_batch_that_can_not_go_on(organization) as is_at_it:
        run = await visit.require(organization)
        await is_at_it()
        await steering.drain_worker(visit.db, ORDER, worker.worker)
        seen = await visit.until(lambda: draining(visit, worker.worker))
        assert (seen.held, [batch["run_id"] for batch in seen.batches]) == (1, [run])
    [process] = visit.system.processes.pop("enforcer")
    await visit.until(lambda: ended(process))
    assert process.returncode == 0
    assert (await visit.status(run))["sessions_ended"] == 4
    await visit.all_up()
    assert (await visit.until_done(run))["letters"]["accepted"] == 5


async def is_enforced(visit: Visit, run: int) -> bool:
    status = await visit.status(run)
    return bool(status["stage"] == "notify" and status["letters"]["owed"])


async def ended(process) -> bool:  # type: ignore[no-untyped-def]  # noqa: ANN001 -- subprocess.Popen, tied or not
    return process.poll() is not None


async def draining(visit: Visit, worker: str) -> steering.WorkerSeen | None:
    return next((seen for seen in await steering.list_workers(visit.db) if seen.worker == worker and seen.is_draining and seen.held), None)


async def at_work(visit: Visit, queue: str) -> steering.WorkerSeen:
    """Return the process that serves the queue; one that was killed is listed beside it for a while."""
    return max((seen for seen in await steering.list_workers(visit.db) if seen.queue == queue), key=lambda seen: seen.started_at)
