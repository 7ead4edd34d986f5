"""One run in words: what it is, what it did, and what somebody should do about it."""

from typing import Any

from jobs.store.operations import Look
from workers.cli.screen import moment

VERDICTS = ("unprotected", "protected", "sso", "exempt", "inactive")
LETTERS = ("accepted", "owed", "sending", "deferred", "refused", "uncertain", "suppressed", "cancelled")


def headline(status: dict[str, Any]) -> str:
    """Return the run, its organization and its state on one line."""
    doing = f"running, stage {status['stage']}" if status["state"] == "running" else status["state"]
    because = f" ({status['stopped_because']})" if status["stopped_because"] else ""
    return f"Run {status['run_id']} of organization {status['organization_id']}: {doing}{because}"


def describe(look: Look) -> list[str]:
    """Return a run on some ten lines."""
    status = look.status
    lines = [
        headline(status),
        f"  requested  {moment(status['requested_at'])} by {status['requested_by']}: {status['reason'] or 'no reason given'}",
        f"  members    {status['members']:,} judged{_parts(status['verdicts'], VERDICTS)}",
        f"  sessions   {status['sessions_ended']:,} ended{_last(status['last_session_ended_at'])}",
        f"  letters    {sum(status['letters'].values()):,}{_parts(status['letters'], LETTERS)}{_last(status['last_letter_at'])}",
        f"  batches    {_batches(status['batches'])}",
    ]
    if paused := status["paused"]:
        lines.append(f"  paused     {_paused(paused)}")
    if status["finished_at"]:
        lines.append(f"  finished   {moment(status['finished_at'])}")
    lines += [f"  trouble    {error}" for error in status["errors"]]
    return lines + [f"  to do      {line}" for line in advise(look)]


def advise(look: Look) -> list[str]:
    """Return what keeps a run from going on, each with what to do; empty: nothing that can be seen from here."""
    status = look.status
    run, dead = status["run_id"], status["batches"]["dead"]
    lines = []
    if dead:
        again = f"`portcullis dead --run {run}` says why, `portcullis replay --run {run} --reason ...` tries again"
        lines.append(f"Batches put aside: {dead:,}. {again}.")
    if paused := status["paused"]:
        what = {"run": f" {run}", "organization": f" --organization {paused['subject']}", "everything": " --everything"}
        queue = " --letters" if paused["subject"] == "notify" else " --sessions"
        lines.append(f"Somebody paused it: `portcullis resume{what.get(paused['scope'], queue)} --reason ...` lets it go on.")
    if status["state"] != "running":
        return lines
    if not look.has_conductor:
        lines.append("No conductor leads, so nothing new begins: start one with `portcullis conductor`.")
    if status["stage"] != "notify" and not look.has_enforcer:
        lines.append("No worker serves the queue `enforce`: start the process `enforcer` of the Procfile.")
    if status["stage"] == "notify" and not look.has_mailer:
        lines.append("No worker serves the queue `notify`: start the process `mailer` of the Procfile.")
    return lines


def _paused(paused: dict[str, str]) -> str:
    what = f"{paused['scope']} {paused['subject']}".rstrip()
    return f"{what}, since {moment(paused['at'])} by {paused['by']}: {paused['reason']}"


def _parts(counts: dict[str, int], order: tuple[str, ...]) -> str:
    named = ", ".join(f"{counts[name]:,} {name}" for name in order if counts[name])
    return f": {named}" if named else ""


def _batches(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[name]:,} {name}" for name in ("open", "done", "dead"))


def _last(when: str | None) -> str:
    return f"; the last at {moment(when)}" if when else ""
