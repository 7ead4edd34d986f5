"""Watch one run until it is over. It goes on whether somebody watches or not."""

import asyncio
from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from jobs.client import RunState
from jobs.store import operations
from jobs.store.operations import Look
from workers.cli.database import connected
from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import AsJson, Run
from workers.cli.report import describe
from workers.cli.screen import note, tell
from workers.cli.screens import Screen, choose_screen

EVERY_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
"""How long the database may be away before watching is given up."""


async def watch(
    run: Run,
    /,
    *,
    every: Annotated[float, Parameter(help="Seconds between two looks.", validator=Number(gte=0.1, lte=3600))] = EVERY_SECONDS,
    as_json: AsJson = False,
) -> ExitCode:
    """Watch a run until it is over: sessions and letters, rate, time left.

    Bars on a terminal, else a line when something moved. With `--json` the `run_status` object, one a line each time that it changed. If
    nothing moves it says why. The database may be away for a minute meanwhile. Needs DATABASE_URL only.

    ```console
    $ portcullis watch 7
    $ portcullis watch 7 --json | jq .letters.accepted
    ```
    """
    look = await follow(run, choose_screen(as_json=as_json), every=every)
    if not as_json:
        tell(*describe(look))
    return exit_code(look)


async def follow(run_id: int, screen: Screen, *, every: float = EVERY_SECONDS) -> Look:
    """Show a run on `screen` until it is over, and return the last look.

    Raises:
        Failure: There is no such run; or the database is away for longer than a minute.
    """
    try:
        with screen:
            return await _follow(run_id, screen, every)
    except asyncio.CancelledError:
        note(f"The run goes on; `portcullis watch {run_id}` looks again.")
        raise


def exit_code(look: Look) -> ExitCode:
    """Return how a run ended: only a done one is a success."""
    return ExitCode.OK if look.status["state"] == RunState.DONE else ExitCode.REFUSED


async def _follow(run_id: int, screen: Screen, every: float) -> Look:
    clock = asyncio.get_running_loop().time
    last_seen: float | None = None

    def seen(look: Look) -> None:
        nonlocal last_seen
        last_seen = clock()
        screen.show(look)

    while True:
        try:
            return await _look_until_over(run_id, seen, every)
        except Failure as failure:
            if failure.code is not ExitCode.UNREACHABLE or last_seen is None or clock() - last_seen > PATIENCE_SECONDS:
                raise
            screen.say(f"{failure.what}; still trying.")
        await asyncio.sleep(1)


async def _look_until_over(run_id: int, seen: Callable[[Look], None], every: float) -> Look:
    async with connected() as db:
        while True:
            look = await operations.look(db, run_id)
            seen(look)
            if look.status["state"] != RunState.RUNNING:
                return look
            await asyncio.sleep(every)
