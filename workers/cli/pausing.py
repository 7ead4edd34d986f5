"""Stop work and let it go on: one run, one organization, all letters, everything. The gate stands, whatever is paused."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from jobs.store import operations, steering
from jobs.store.steering import Pause, PauseScope
from workers.cli.database import connected
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import AsJson
from workers.cli.ordering import NUMBER, Why, an_order
from workers.cli.screen import moment, note, table, tell, tell_json

HEADINGS = ("PAUSED", "WHICH", "BY", "SINCE", "RUNS WAITING", "REASON")

OneRun = Annotated[int | None, Parameter(help="Number of the run; `portcullis runs` lists them.", validator=NUMBER)]
OneOrganization = Annotated[str | None, Parameter(help="Instead of a run: whatever belongs to this organization, also later runs.")]
Letters = Annotated[bool, Parameter(negative=(), show_default=False, help="Instead of a run: all letters; the queue `notify`.")]
Sessions = Annotated[bool, Parameter(negative=(), show_default=False, help="Instead of a run: plans and sessions; the queue `enforce`.")]
Everything = Annotated[bool, Parameter(negative=(), show_default=False, help="Instead of a run: everything, also what is opened later.")]


async def pause(
    run: OneRun = None,
    /,
    *,
    organization: OneOrganization = None,
    letters: Letters = False,
    sessions: Sessions = False,
    everything: Everything = False,
    reason: Why,
    as_json: AsJson = False,
) -> None:
    """Stop a run, an organization, all letters or everything, until somebody resumes it.

    A transaction that ends sessions comes to its end, which takes milliseconds, and a wave of letters, which takes ten seconds at most;
    then nothing more begins. Nothing is lost, and what is paused loses no attempt. The gate stands: nobody gets past it meanwhile. Needs
    DATABASE_URL only.

    ```console
    $ portcullis pause 7 --reason "the letter has a mistake"
    $ portcullis pause --letters --reason "the relay is on fire"
    $ portcullis pause --everything --reason "we do not know yet"
    ```
    """
    scope, subject = _target(run, organization, letters=letters, sessions=sessions, everything=everything)
    async with connected() as db:
        is_new = await steering.pause(db, an_order(reason), scope, subject)
    if as_json:
        tell_json({"scope": scope, "subject": subject, "paused": True, "is_new": is_new})
    else:
        tell(f"{_named(scope, subject)} {'is paused' if is_new else 'was paused already'}. The gate stands. `portcullis pauses` lists it.")


async def resume(
    run: OneRun = None,
    /,
    *,
    organization: OneOrganization = None,
    letters: Letters = False,
    sessions: Sessions = False,
    everything: Everything = False,
    reason: Why,
    as_json: AsJson = False,
) -> None:
    """Let what was paused go on.

    Name it as it was paused: a run that waits because everything is paused goes on when everything does. Needs DATABASE_URL only.

    ```console
    $ portcullis resume 7 --reason "the letter is corrected"
    $ portcullis resume --letters --reason "the relay is back"
    ```
    """
    scope, subject = _target(run, organization, letters=letters, sessions=sessions, everything=everything)
    async with connected() as db:
        if not await steering.resume(db, an_order(reason), scope, subject):
            to_do = "`portcullis pauses` lists what is; name it as it is named there."
            raise Failure(ExitCode.REFUSED, "not_paused", f"{_named(scope, subject)} is not paused", to_do)
        waits_for = None if run is None else (await operations.look(db, run)).status["paused"]
    if as_json:
        tell_json({"scope": scope, "subject": subject, "paused": False, "still_paused_by": waits_for})
        return
    tell(f"{_named(scope, subject)} goes on.")
    if waits_for:
        wider = _named(PauseScope(waits_for["scope"]), waits_for["subject"])
        note(f"It still waits: {wider[0].lower()}{wider[1:]} is paused by {waits_for['by']} ({waits_for['reason']}).")


async def pauses(*, as_json: AsJson = False) -> None:
    """List what is paused, by whom, since when and why.

    ```console
    $ portcullis pauses
    $ portcullis pauses --json
    ```
    """
    async with connected() as db:
        found = await steering.list_pauses(db)
    if as_json:
        tell_json({"pauses": [asdict(one) for one in found]})
    elif found:
        tell(*table(HEADINGS, map(_row, found)))
    else:
        tell("Nothing is paused.")


def _target(run: int | None, organization: str | None, *, letters: bool, sessions: bool, everything: bool) -> tuple[PauseScope, str]:
    named = {
        (PauseScope.RUN, str(run)): run is not None,
        (PauseScope.ORGANIZATION, organization or ""): organization is not None,
        (PauseScope.QUEUE, "notify"): letters,
        (PauseScope.QUEUE, "enforce"): sessions,
        (PauseScope.EVERYTHING, ""): everything,
    }
    chosen = [target for target, is_named in named.items() if is_named]
    if len(chosen) != 1:
        what = "This takes exactly one of a run, --organization, --letters, --sessions, --everything"
        raise Failure(ExitCode.USAGE, "usage", what, "Name what is meant, once.")
    return chosen[0]


def _named(scope: PauseScope, subject: str) -> str:
    match scope:
        case PauseScope.RUN:
            return f"Run {subject}"
        case PauseScope.ORGANIZATION:
            return f"Organization {subject}"
        case PauseScope.QUEUE:
            return f"The queue {subject}"
        case PauseScope.EVERYTHING:
            return "Everything"


def _row(one: Pause) -> tuple[object, ...]:
    return (one.scope, one.subject or "-", one.paused_by, moment(one.paused_at), one.waiting_runs, one.reason)
