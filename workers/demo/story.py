"""`portcullis demo`: from the switch to the last letter on real servers, and a check that it all adds up.

Nobody is asked anything. Whatever ends the story, also Ctrl-C and SIGTERM, everything that was started is stopped; letters and logs stay.
"""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from workers.demo.check import check_preview, check_run
from workers.demo.embedded import SetupError
from workers.demo.folder import own_folder
from workers.demo.foundation import Foundation, foundation
from workers.demo.letters import Arrived, arrived
from workers.demo.patience import StuckError, until_done, until_ready
from workers.demo.people import OrganizationSpec, Seeded, seed
from workers.demo.processes import procfile, tail
from workers.demo.telling import Teller

ADDS_UP, DOES_NOT_ADD_UP, NOT_SET_UP = 0, 1, 2
"""Exit codes."""

FEWEST_USERS = 2

SHOWN = ("signed_out", "protected", "report")
"""Kinds of letters of which one is printed."""


async def run_demo(*, users: int = 2000, as_json: bool = False, keep: bool = False, people: int = 1) -> int:
    """Tell the story with an organization of `users` members, and return the exit code.

    0: everything adds up. 1: something does not. 2: the system could not be set up. With `as_json` the last line of standard output is
    the `run_status` object. `keep`: letters and logs of earlier demos are kept too. The same number `people` gives the same people.
    """
    try:
        with ended_by_sigterm():
            _check(users)
            teller = Teller()
            teller.heading("Starting PostgreSQL, Valkey and a mail server, and installing the schema")
            with foundation(own_folder("demo", keep_earlier=keep)) as built:
                adds_up, status = await _tell(teller, built, users, people)
    except SetupError as fault:
        sys.stderr.write(f"\nThe demo could not be set up. {fault}\n")
        return NOT_SET_UP
    if as_json:
        sys.stdout.write(json.dumps(status) + "\n")
    return ADDS_UP if adds_up else DOES_NOT_ADD_UP


def _check(users: int) -> None:
    if users < FEWEST_USERS:
        raise SetupError(f"{users} users are too few.", f"ask for at least {FEWEST_USERS}: an admin and a member.")


async def _tell(teller: Teller, built: Foundation, users: int, people: int) -> tuple[bool, dict[str, Any]]:
    async with _connection(built.database_url) as db:
        seeded = await _people(teller, db, users, people)
        teller.heading(f"What the admin of {seeded.name} is shown before the switch")
        rows = await db.fetch("SELECT * FROM portcullis.preview_second_factor($1)", seeded.organization_id)
        teller.preview(rows)
        try:
            status = await _run(teller, built, db, seeded)
        except StuckError as stuck:
            teller.say(f"\nNOT finished: {stuck}", "The end of the processes' log:", tail(built.log))
            return False, stuck.status
        letters = list(arrived(built.maildir))
        findings = [*check_preview(rows, seeded), *await check_run(db, status, letters, seeded)]
    teller.heading("What became of it")
    teller.outcome(status)
    _read_aloud(teller, letters)
    teller.heading("Checked with SQL over the main app's own tables, and in the Maildir")
    teller.findings(findings)
    adds_up = all(finding.adds_up for finding in findings)
    teller.heading("Everything adds up." if adds_up else "It does NOT add up.")
    teller.say(f"Letters: {built.maildir}/new", f"Logs:    {built.log}")
    return adds_up, status


async def _people(teller: Teller, db: asyncpg.Connection, users: int, people: int) -> Seeded:
    teller.heading(f"Filling the reference main app with {users:,} people, and a second organization that must notice nothing")
    neighbours = OrganizationSpec(name="Osprey Foundation", domain="osprey.example", members=40, shared=10, with_oddities=False)
    seeded, _ = await seed(db, OrganizationSpec(members=users), neighbours, seed=people)
    return seeded


async def _run(teller: Teller, built: Foundation, db: asyncpg.Connection, seeded: Seeded) -> dict[str, Any]:
    teller.heading("Starting the processes of the Procfile")
    with procfile(built.environment, built.log) as processes:
        await until_ready(db, processes)
        teller.heading(f"{seeded.name} requires two-factor authentication, from this commit on")
        run_id = await db.fetchval(
            "SELECT portcullis.require_second_factor($1, $2, 'the demo')", *(seeded.organization_id, seeded.admin_id)
        )
        with teller.progress(seeded.members) as watcher:
            return await until_done(db, run_id, processes, watcher)


def _read_aloud(teller: Teller, letters: Sequence[Arrived]) -> None:
    for kind in SHOWN:
        letter = next((letter for letter in letters if letter.kind == kind), None)
        if letter:
            teller.heading(f"A letter of the kind {kind}")
            teller.say(letter.as_text())


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM cancel the running task, so that every block is left in order."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in one
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
