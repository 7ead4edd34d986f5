"""What can be looked at: runs, members, queues, dead batches, workers, and what people ordered. Nothing here changes anything."""

from dataclasses import replace
from typing import Any

from pydantic import BaseModel, Field

from jobs.store import operations, steering
from jobs.store.ids import MalformedIdError, OrganizationId
from jobs.store.operations import QueueCount
from jobs.store.steering import Action, Breaker, DeadBatch, DeadGroup, Pause, SendLimit, Unknown, WorkerSeen
from jobs.store.views import audit as audit_views
from jobs.store.views import members as member_views
from jobs.store.views import queues as queue_views
from jobs.store.views import runs as run_views
from jobs.store.views.audit import Found, Signed
from jobs.store.views.members import FactorEvent, MemberLetter, Membership
from jobs.store.views.queues import Leader, Outbox
from jobs.store.views.runs import Failures, RunFacts, RunLine, StageLine, Unfinished
from workers.api.calls import Call
from workers.console.wording import masked, said


class Runs(BaseModel):
    """A page of runs, newest first."""

    runs: list[RunLine]
    next_before: int | None = Field(description="`before` of the next page; null: this is the last.")


class Run(BaseModel):
    """One run. `status` is what `portcullis.run_status` says."""

    status: dict[str, object]
    facts: RunFacts
    stages: list[StageLine]
    oldest_unfinished: Unfinished | None
    failures: list[Failures]


class Member(BaseModel):
    """One member, wherever they belong. Addresses are masked."""

    memberships: list[Membership]
    letters: list[MemberLetter]
    factor_events: list[FactorEvent]


class Queues(BaseModel):
    """Both queues, and the conductor."""

    queues: list[QueueCount]
    outbox: list[Outbox]
    leader: Leader | None


class Dead(BaseModel):
    """Dead batches by cause, the latest cause first."""

    groups: list[DeadGroup]


class DeadOne(BaseModel):
    """One dead batch, whole."""

    batch: DeadBatch


class Workers(BaseModel):
    """Worker processes that were heard of within the last hour."""

    workers: list[WorkerSeen]


class Pauses(BaseModel):
    """What is paused, the widest first."""

    pauses: list[Pause]


class Limits(BaseModel):
    """Sending limits that people set; the configured ones hold otherwise."""

    limits: list[SendLimit]


class Breakers(BaseModel):
    """Breakers that are open or were, open ones first."""

    breakers: list[Breaker]


class Actions(BaseModel):
    """A page of what people ordered, latest first."""

    actions: list[Action]
    next_before: int | None = Field(description="`before` of the next page; null: this is the last.")


class Audit(BaseModel):
    """How the record stands. `portcullis audit verify` finds out whether anything in it was touched."""

    invariants: list[Found] = Field(description="As the auditor found them when it last looked, broken ones first.")
    checkpoint: Signed | None = Field(description="The last one that was signed.")


async def list_runs(call: Call) -> Runs:
    """List runs, newest first."""
    asked = call.query
    organization = None
    if asked.organization_id is not None:
        organization = await _organization(call, asked.organization_id)
    found = await run_views.list_page(call.db, before=asked.before, state=asked.state, organization=organization, limit=asked.limit)
    shown = [replace(one, status=_without_addresses(one.status)) for one in found]
    return Runs(runs=shown, next_before=found[-1].run_id if len(found) == asked.limit else None)


async def show_run(call: Call) -> Run:
    """Show one run: its status, its stages, what has been open for longest, and letters that did not arrive."""
    run_id = call.path.run_id
    facts = await run_views.find_facts(call.db, run_id)
    if facts is None:
        raise _unknown_run(run_id)
    oldest = await run_views.find_oldest(call.db, run_id)
    return Run(
        status=_without_addresses((await operations.look(call.db, run_id)).status),
        facts=facts,
        stages=list((await run_views.list_stages(call.db, run_id)).values()),
        oldest_unfinished=oldest and replace(oldest, error=_said(oldest.error)),
        failures=[replace(one, reason=_said(one.reason)) for one in await run_views.group_failures(call.db, run_id)],
    )


async def show_member(call: Call) -> Member:
    """Show what was decided about one member and written to them, and why."""
    try:
        member = (await call.id_types()).to_member(call.path.user_id)
    except MalformedIdError:
        raise _unknown_member(call.path.user_id) from None
    memberships = await member_views.find(call.db, member)
    if not memberships:
        raise _unknown_member(call.path.user_id)
    letters = await member_views.list_letters(call.db, member, [one.organization_id for one in memberships])
    return Member(
        memberships=[replace(one, email=_masked(one.email)) for one in memberships],
        letters=[
            replace(
                one,
                recipient=_masked(one.recipient),
                reason=_said(one.reason),
                batch_error=_said(one.batch_error),
                tried=[replace(attempt, reason=_said(attempt.reason)) for attempt in one.tried],
            )
            for one in letters
        ],
        factor_events=await member_views.list_events(call.db, member),
    )


async def list_queues(call: Call) -> Queues:
    """Show both queues: what is due, how old the oldest is, who serves them, how the conductor keeps up."""
    outbox = await queue_views.look_at_outbox(call.db)
    return Queues(
        queues=await operations.count_queues(call.db),
        outbox=list(outbox.values()),
        leader=await queue_views.find_leader(call.db),
    )


async def list_dead(call: Call) -> Dead:
    """List dead batches by cause."""
    if call.query.run_id is not None:
        await _look_at_run(call, call.query.run_id)
    groups = await steering.list_dead_groups(call.db, run_id=call.query.run_id, limit=call.query.limit)
    return Dead(groups=[replace(one, error=_said(one.error)) for one in groups])


async def show_dead(call: Call) -> DeadOne:
    """Show one dead batch whole."""
    batch = await steering.show_dead(call.db, call.path.batch_id)
    return DeadOne(batch=replace(batch, error=_said(batch.error)))


async def list_workers(call: Call) -> Workers:
    """List worker processes."""
    return Workers(workers=await steering.list_workers(call.db))


async def list_pauses(call: Call) -> Pauses:
    """List what is paused, by whom and why."""
    return Pauses(pauses=await steering.list_pauses(call.db))


async def list_limits(call: Call) -> Limits:
    """List the sending limits that people set."""
    return Limits(limits=await steering.list_limits(call.db))


async def list_breakers(call: Call) -> Breakers:
    """List what is held back because it fares badly."""
    return Breakers(breakers=[replace(one, cause=said(one.cause)) for one in await steering.list_breakers(call.db)])


async def list_actions(call: Call) -> Actions:
    """List who did what and why, latest first."""
    asked = call.query
    organization = None
    if asked.run_id is not None:
        await _look_at_run(call, asked.run_id)
    if asked.organization_id is not None:
        organization = await _organization(call, asked.organization_id)
    found = await steering.list_actions(call.db, run_id=asked.run_id, organization_id=organization, before=asked.before, limit=asked.limit)
    return Actions(actions=found, next_before=found[-1].action_id if len(found) == asked.limit else None)


async def show_audit(call: Call) -> Audit:
    """Show how the record stands: what the auditor found, and the last signed checkpoint."""
    found = await audit_views.list_results(call.db)
    return Audit(invariants=[replace(one, words=_said(one.words)) for one in found], checkpoint=await audit_views.find_checkpoint(call.db))


async def _organization(call: Call, text: str) -> OrganizationId:
    """Return an organization that exists. What can't be an id here is nobody's id."""
    try:
        organization = (await call.id_types()).to_organization(text)
    except MalformedIdError:
        raise _unknown_organization(text) from None
    if not await operations.is_known(call.db, organization):
        raise _unknown_organization(text)
    return organization


async def _look_at_run(call: Call, run_id: int) -> None:
    if await run_views.find_facts(call.db, run_id) is None:
        raise _unknown_run(run_id)


def _masked(address: str | None) -> str | None:
    return masked(address) if address else None


def _without_addresses(status: dict[str, Any]) -> dict[str, Any]:
    return status | {"errors": [said(error) for error in status.get("errors", ())]}


def _said(text: str | None) -> str | None:
    return text and said(text)


def _unknown_run(run_id: int) -> Unknown:
    return Unknown("unknown_run", f"There is no run {run_id}", "GET /api/v1/runs lists them.")


def _unknown_member(text: str) -> Unknown:
    return Unknown("unknown_member", f"The directory knows nobody with the id {text}", "Use a user_id of the view directory.member.")


def _unknown_organization(text: str) -> Unknown:
    return Unknown("unknown_organization", f"There is no organization {text}", "Use one of the view directory.organization.")
