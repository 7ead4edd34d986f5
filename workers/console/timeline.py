"""What happened to a run, in the order of time: every stage and every order, with who and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.store.steering import Action
from jobs.store.views.runs import StageLine
from workers.console.wording import plural, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One thing that happened. `who` and `why` are a person's; empty: the run itself. `kind`: `stage`, `order` or `end`."""

    at: datetime
    what: str
    kind: str
    who: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stage as a bar: from when to when; without an end it goes on, or has nothing left but what is dead."""

    name: str
    begins: datetime
    ends: datetime | None
    detail: str
    is_dead: bool = False


VERBS = {
    "pause": "Paused",
    "resume": "Resumed",
    "cancel": "Cancelled",
    "replay": "Dead batches replayed",
    "discard": "Dead letters discarded",
}


def of(status: Mapping[str, Any], stages: Mapping[str, StageLine], actions: Sequence[Action]) -> list[Moment]:
    """Return the moments, the earliest first."""
    return sorted([*_stages(status, stages), *map(_order, actions)], key=lambda moment: moment.at)


def stretches(status: Mapping[str, Any], stages: Mapping[str, StageLine]) -> list[Stretch]:
    """Return the stages that have begun, as bars."""
    bars = []
    for name, label in (
        ("plan", "Plan"),
        ("enforce", "Sessions"),
        ("notice", "Letters"),
        ("deferred", "Deferred letters"),
        ("report", "Report"),
    ):
        if stage := stages.get(name):
            ends = (
                None if stage.open or stage.dead else max(filter(None, (stage.last_done_at, stage.last_letter_at)), default=stage.made_at)
            )
            begins = stage.made_at if name != "notice" else max(stage.made_at, _after_sessions(stages) or stage.made_at)
            if status["state"] != "running" and ends is None and status["finished_at"]:
                ends = read(status["finished_at"]) if name not in ("deferred", "report") else None
            bars.append(
                Stretch(
                    name=label,
                    begins=min(begins, ends) if ends else begins,
                    ends=ends,
                    detail=plural(stage.batches, "batch", "batches") + (f", {stage.dead} dead" if stage.dead else ""),
                    is_dead=stage.dead > 0 and not stage.open,
                )
            )
    return bars


def _after_sessions(stages: Mapping[str, StageLine]) -> datetime | None:
    """Letters wait until the last batch of sessions is done."""
    enforce = stages.get("enforce")
    return enforce.last_done_at if enforce else None


def _stages(status: Mapping[str, Any], stages: Mapping[str, StageLine]) -> Iterator[Moment]:
    who = "somebody who was erased" if status["requested_by"] is None else f"member {status['requested_by']}"
    yield Moment(at=read(status["requested_at"]), what="Switched on", kind="order", who=who, why=status["reason"] or "")
    if (plan := stages.get("plan")) and plan.last_done_at:
        ranges = stages["enforce"].batches if "enforce" in stages else 0
        yield Moment(at=plan.last_done_at, what=f"Planned: {plural(ranges, 'batch', 'batches')}", kind="stage")
    if enforce := stages.get("enforce"):
        if enforce.first_done_at:
            yield Moment(at=enforce.first_done_at, what="First batch of sessions ended", kind="stage")
        if enforce.last_done_at and not enforce.open and not enforce.dead:
            what = f"Last session ended: {plural(enforce.sessions_ended, 'session')} of {plural(enforce.members, 'member')}"
            yield Moment(at=enforce.last_done_at, what=what, kind="stage")
    if (notice := stages.get("notice")) and notice.last_letter_at and not notice.open and not notice.dead:
        yield Moment(at=notice.last_letter_at, what=f"Last letter left: {plural(notice.accepted, 'letter')} accepted", kind="stage")
    if status["finished_at"]:
        what = "Done" if status["state"] == "done" else f"Stopped: {status['stopped_because'] or status['state']}"
        yield Moment(at=read(status["finished_at"]), what=what, kind="end")


def _order(action: Action) -> Moment:
    what = VERBS.get(action.verb, action.verb.replace("_", " "))
    return Moment(at=action.happened_at, what=what, kind="order", who=f"{action.actor} ({action.via})", why=action.reason)
