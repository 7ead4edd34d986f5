"""One run from switch to proof: how many, how far, how fast, what failed, who did what; and pause, resume, cancel."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from jobs.operators import Session
from jobs.store import operations, steering
from jobs.store.database import Connection
from jobs.store.steering import PauseScope
from jobs.store.views import runs as views
from jobs.store.views.runs import Failures, Measured, RunLine, Unfinished
from workers.console import budget, progress, timeline
from workers.console.budget import Budget
from workers.console.doors import acting
from workers.console.live import Shown, watched
from workers.console.orders import as_seen, confirm, done, in_words, order_of
from workers.console.progress import Progress
from workers.console.refusals import not_found, stale

UNKNOWN_RUN = "PC005"
ACTIONS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A run in a list, with how far it is."""

    line: RunLine
    progress: Progress
    oldest: Unfinished | None


async def outlook(db: Connection, line: RunLine, limits: Budget) -> Outlook:
    """Return how far a run is."""
    looked = await operations.look(db, line.run_id)
    measured = await views.measure(db, line.run_id, within=timedelta(seconds=progress.LATELY_SECONDS))
    far = progress.of(
        line.status,
        enforced=looked.enforced,
        to_enforce=looked.to_enforce,
        members=measured.members,
        letters_a_second=_rate(measured),
        budget=limits.for_run(str(line.status["organization_id"])),
    )
    return Outlook(line=line, progress=far, oldest=await views.find_oldest(db, line.run_id))


def _rate(measured: Measured) -> float:
    """Return letters a second, of late; until the first whole batch is finished, since letters began."""
    if measured.letters:
        return measured.letters / progress.LATELY_SECONDS
    return measured.letters_in_all / measured.letters_seconds if measured.letters_seconds > 0 else 0.0


@watched
async def run(request: Request) -> Shown:
    """Show it."""
    run_id = request.path_params["run_id"]
    async with request.app.state.pool.acquire() as db:
        facts, looked = await _find(db, run_id)
        limits = await budget.read(db, request.app.state.settings)
        line = RunLine(run_id=run_id, organization_name=facts.organization_name, status=looked.status)
        far = await outlook(db, line, limits)
        stages = await views.list_stages(db, run_id)
        failures = await views.group_failures(db, run_id)
        actions = await steering.list_actions(db, run_id=run_id, limit=ACTIONS)
        dead = await steering.list_dead_groups(db, run_id=run_id, limit=5)
        values: dict[str, Any] = {
            "run_id": run_id,
            "facts": facts,
            "status": looked.status,
            "looked": looked,
            "progress": far.progress,
            "oldest": far.oldest,
            "stages": stages,
            "failures": failures,
            "left_out": await views.count_left_out(db, run_id) if failures else 0,
            "groups": views.GROUPS,
            "why_not": _why_not(far.oldest, failures),
            "stands_still": looked.status["stage"] == "finish" and looked.status["batches"]["dead"] > 0,
            "dead": dead,
            "budget": limits.for_run(facts.organization_id),
            "quota": limits.quota,
        }
    bars = timeline.stretches(looked.status, stages)
    goes_on = any(bar.ends is None for bar in bars)
    values["bars"] = bars
    values["first"] = min((bar.begins for bar in bars), default=None)
    values["last"] = None if goes_on else max((bar.ends for bar in bars if bar.ends), default=None)
    values["moments"] = timeline.of(looked.status, stages, actions)
    return Shown(template="run.html", values=values)


def _why_not(oldest: Unfinished | None, failures: list[Failures]) -> str:
    """Return why letters wait: what holds back the batch that has waited for longest, or what most of those met that are tried again."""
    met = next((one.reason for one in failures if one.state in ("owed", "deferred") and one.reason), "")
    return (oldest and oldest.error) or met


@acting
async def pause(request: Request, session: Session, form: FormData) -> Response:
    """Pause it."""
    run_id, back = _named(request)
    order = order_of(session, form, back=back)
    with in_words(back=back):
        if not await steering.pause(request.app.state.pool, order, PauseScope.RUN, str(run_id)):
            raise stale(f"Run {run_id} was paused meanwhile", back=back)
    return done(back, "paused")


@acting
async def resume(request: Request, session: Session, form: FormData) -> Response:
    """Let it go on."""
    run_id, back = _named(request)
    order = order_of(session, form, back=back)
    with in_words(back=back):
        if not await steering.resume(request.app.state.pool, order, PauseScope.RUN, str(run_id)):
            raise stale(f"Run {run_id} is not paused, or not any more", back=back)
    return done(back, "resumed")


@acting
async def cancel(request: Request, session: Session, form: FormData) -> Response:
    """Stop it for good."""
    run_id, back = _named(request)
    order = order_of(session, form, back=back)
    confirm(form, f"cancel {run_id}", back=back)
    pool = request.app.state.pool
    with in_words(back=back):
        async with pool.acquire() as db:
            _, looked = await _find(db, run_id)
            as_seen(form, looked.status["state"], back=back)
            await steering.cancel(db, order, run_id)
    return done(back, "cancelled")


def _named(request: Request) -> tuple[int, str]:
    run_id = request.path_params["run_id"]
    return run_id, f"/runs/{run_id}"


async def _find(db: Connection, run_id: int) -> tuple[views.RunFacts, operations.Look]:
    """Raises `Refusal`: there is no such run."""
    unknown = not_found(f"There is no run {run_id}", "The list of runs has them all.", back="/runs")
    facts = await views.find_facts(db, run_id)
    if facts is None:
        raise unknown
    try:
        return facts, await operations.look(db, run_id)
    except asyncpg.PostgresError as error:
        if error.sqlstate == UNKNOWN_RUN:
            raise unknown from error
        raise
