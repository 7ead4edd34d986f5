"""The auditor, as a foreground process for the Procfile or any supervisor."""

import asyncio
import signal
from contextlib import suppress
from typing import Annotated

import asyncpg
import structlog
from cyclopts import Parameter

from jobs.audit.watch import Auditor, Result
from jobs.store.database import WEATHER, close_pool, open_pool
from workers.cli.exit_codes import ExitCode
from workers.cli.explaining import connecting_failed
from workers.cli.options import AsJson
from workers.cli.screen import table, tell, tell_json
from workers.logs import configure_logs
from workers.settings import DatabaseSettings, LogSettings

log = structlog.get_logger(__name__)


def auditor(
    *, once: Annotated[bool, Parameter(negative=(), help="Look once, print what was found, and end.")] = False, as_json: AsJson = False
) -> ExitCode:
    """Check the invariants every minute, reading only.

    Asks, as far as queries can, whether what Portcullis guarantees is so, and writes what it found where the metrics are made from
    (`portcullis.audit_result`), and nothing else. One is enough, more do no harm. With `--once` it exits with 1 if something is broken.
    Needs DATABASE_URL only; the role `portcullis_auditor` suffices.

    ```console
    $ portcullis auditor --once
    ```
    """
    url = DatabaseSettings.load().database_url.get_secret_value()
    configure_logs(LogSettings.load().log_format)
    try:
        results = asyncio.run(_look_once(url) if once else _watch(url))
    except (*WEATHER, asyncpg.PostgresError) as error:
        raise connecting_failed(error, url, "DATABASE_URL") from error
    if once and as_json:
        tell_json(
            {"results": [{"invariant": one.invariant, "ok": not one.found, "found": one.found, "words": one.words} for one in results]}
        )
    elif once:
        tell(
            *table(
                ("INVARIANT", "FOUND", "SECONDS", "WORDS"), [(one.invariant, one.found, f"{one.seconds:.2f}", one.words) for one in results]
            )
        )
    return ExitCode.REFUSED if any(one.found for one in results) else ExitCode.OK


async def _look_once(url: str) -> list[Result]:
    pool = await open_pool(url, size=1)
    try:
        return await Auditor(pool).look()
    finally:
        await close_pool(pool)


async def _watch(url: str) -> list[Result]:
    pool = await open_pool(url, size=1)
    watching = asyncio.create_task(Auditor(pool).run())
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_, watching.cancel)
    log.info("auditor_started")
    with suppress(asyncio.CancelledError):
        await watching
    await close_pool(pool)
    log.info("auditor_stopped")
    return []
