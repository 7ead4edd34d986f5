"""Batches that were put aside for a human: see why, try them again once the cause is mended, or give up their letters."""

from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter

from jobs.store import operations, steering
from jobs.store.operations import DeadBatch
from jobs.store.steering import DeadGroup, DeadTally, Selection
from workers.cli.database import connected
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import AsJson, Limit
from workers.cli.ordering import NUMBER, an_order
from workers.cli.screen import moment, note, table, tell, tell_json

HEADINGS = ("BATCH", "RUN", "ORGANIZATION", "STAGE", "ATTEMPTS", "SINCE", "REASON")
GROUP_HEADINGS = ("FINGERPRINT", "STAGE", "BATCHES", "RUNS", "LETTERS", "LAST", "FOR EXAMPLE", "REASON")

OneBatch = Annotated[int | None, Parameter(help="Number of the batch; `portcullis dead` lists them.", validator=NUMBER)]
OfRun = Annotated[int | None, Parameter(help="Instead of one batch: all dead ones of this run.", validator=NUMBER)]
Alike = Annotated[
    str | None, Parameter(help="Instead of one batch: all that died of this cause; `portcullis dead --grouped` lists causes.")
]
Everything = Annotated[bool, Parameter(negative=(), show_default=False, help="Instead of one batch: all that are dead.")]
Most = Annotated[int, Parameter(help="Batches at most, the oldest first; the rest stays for another order.", validator=NUMBER)]
DryRun = Annotated[bool, Parameter(negative=(), show_default=False, help="Only count what would be acted on; needs no reason.")]


async def list_(
    *,
    run: Annotated[int | None, Parameter(help="Only those of this run.", validator=NUMBER)] = None,
    grouped: Annotated[bool, Parameter(negative=(), show_default=False, help="One line a cause instead of one a batch.")] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List batches that were put aside for a human, each with its reason.

    They failed too often, or no retry can help. A run with a dead batch can't be done. Mend the cause, then `portcullis replay`. Needs
    DATABASE_URL only.

    ```console
    $ portcullis dead
    $ portcullis dead --grouped
    $ portcullis dead list --run 7 --json
    ```
    """
    async with connected() as db:
        if run is not None:
            await operations.look(db, run)  # says so if there is none
        found = [] if grouped else await operations.list_dead(db, run, limit=limit)
        groups = await steering.list_dead_groups(db, run_id=run, limit=limit) if grouped else []
    if as_json:
        tell_json({"groups": [asdict(group) for group in groups]} if grouped else {"dead": [asdict(batch) for batch in found]})
    elif found:
        tell(*table(HEADINGS, map(_row, found)))
    elif groups:
        tell(*table(GROUP_HEADINGS, map(_group_row, groups)))
    else:
        tell("No batch is dead.")


async def show(batch: Annotated[int, Parameter(help="Number of the batch.", validator=NUMBER)], /, *, as_json: AsJson = False) -> None:
    """Show one dead batch whole: its range, its letters by state, its last words, how many died alike.

    ```console
    $ portcullis dead show 1234
    ```
    """
    async with connected() as db:
        found = asdict(await steering.show_dead(db, batch))
    if as_json:
        tell_json(found)
        return
    found["died_at"] = moment(found["died_at"])
    tell(*(f"{name.replace('_', ' '):<16} {'-' if value is None else value}" for name, value in found.items()))


async def replay(
    batch: OneBatch = None,
    /,
    *,
    run: OfRun = None,
    fingerprint: Alike = None,
    everything: Everything = False,
    most: Most = 1_000,
    dry_run: DryRun = False,
    reason: Annotated[str | None, Parameter(help="Why they can succeed now; kept with the batches until they do.")] = None,
    as_json: AsJson = False,
) -> None:
    """Try dead batches again, from the first attempt on.

    Nothing is done twice: a session that has ended is left alone, and a letter that may have left is treated as before. Needs
    DATABASE_URL only, and a conductor and workers that do the work.

    ```console
    $ portcullis replay 1234 --reason "the view directory.member is mended"
    $ portcullis replay --run 7 --reason "the relay takes our address again"
    $ portcullis dead replay --fingerprint 3f9c11aa20de --dry-run
    ```
    """
    selection = _selection("replay", batch, run, fingerprint, everything=everything)
    if dry_run:
        await _tell_tally(selection, as_json=as_json)
        return
    order = an_order(_needed("replay", reason))
    async with connected() as db:
        replayed = await steering.replay(db, order, selection, most=most)
        left = (await steering.count(db, selection)).replayable
    if as_json:
        tell_json({"replayed": replayed})
    else:
        tell(f"Open again: {_named(replayed)}.")
    _note_left(left, "can be replayed")


async def discard(
    batch: OneBatch = None,
    /,
    *,
    run: OfRun = None,
    fingerprint: Alike = None,
    everything: Everything = False,
    most: Most = 1_000,
    dry_run: DryRun = False,
    reason: Annotated[str | None, Parameter(help="Why nobody needs these letters; recorded with your name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give up the letters of dead batches: they are cancelled, counted, and named in the admin's report.

    Letters only: a batch whose members may still be signed in, or that a run can't be done without, is replayed, or its run cancelled. What
    was given up can't be had back. Needs DATABASE_URL only.

    ```console
    $ portcullis dead discard --run 7 --dry-run
    $ portcullis dead discard 1234 --reason "they were told by telephone"
    ```
    """
    selection = _selection("discard", batch, run, fingerprint, everything=everything)
    if dry_run:
        await _tell_tally(selection, as_json=as_json)
        return
    order = an_order(_needed("discard", reason))
    async with connected() as db:
        discarded = await steering.discard(db, order, selection, most=most)
        left = (await steering.count(db, selection)).batches
    if as_json:
        tell_json({"discarded": discarded})
    else:
        tell(f"Given up: {_named(discarded)}.")
    _note_left(left, "are dead")


def _selection(verb: str, batch: int | None, run: int | None, fingerprint: str | None, *, everything: bool) -> Selection:
    if [batch is not None, run is not None, fingerprint is not None, everything].count(True) != 1:
        to_do = "Name one batch, or the run, the fingerprint, or everything."
        raise Failure(ExitCode.USAGE, "usage", f"{verb} takes either a batch or one of --run, --fingerprint, --everything", to_do)
    return Selection(batch_id=batch, run_id=run, fingerprint=fingerprint, everything=everything)


def _needed(verb: str, reason: str | None) -> str:
    if reason is None:
        raise Failure(ExitCode.USAGE, "usage", f"{verb} requires --reason", "Say why; it is recorded with your name.")
    return reason


async def _tell_tally(selection: Selection, *, as_json: bool) -> None:
    async with connected() as db:
        tally = await steering.count(db, selection)
    if as_json:
        tell_json({"dry_run": asdict(tally)})
    else:
        tell(_sentence(tally))


def _sentence(tally: DeadTally) -> str:
    return (
        f"Dead: {tally.batches:,} batches of {tally.runs:,} runs, with {tally.letters:,} letters that are not out. "
        f"{tally.replayable:,} can be replayed, {tally.discardable:,} given up. Nothing was changed."
    )


def _note_left(left: int, what: str) -> None:
    if left:
        note(f"{left:,} more of them {what}.")


def _named(batches: list[int]) -> str:
    return ", ".join(f"batch {one}" for one in batches[:20]) + (f" and {len(batches) - 20:,} more" if len(batches) > 20 else "")  # noqa: PLR2004 -- a line


def _row(batch: DeadBatch) -> tuple[object, ...]:
    place = (str(batch.batch_id), str(batch.run_id), str(batch.organization_id), batch.stage)
    return (*place, batch.attempts, moment(batch.died_at), batch.error)


def _group_row(group: DeadGroup) -> tuple[Any, ...]:
    counts = (group.batches, group.runs, group.letters)
    return (group.fingerprint, group.stage, *counts, moment(group.last_died_at), f"batch {group.batch_id}", group.error)
