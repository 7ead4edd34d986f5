"""What looks at the whole system for machines: the metrics server, and a probe that ends with an exit code."""

import asyncio
import os
import socket
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from workers.cli.exit_codes import ExitCode
from workers.cli.failure import Failure
from workers.cli.options import AsJson
from workers.cli.screen import note, tell, tell_json
from workers.settings import MetricsSettings

if TYPE_CHECKING:
    from jobs.store.counts import Seen

HERE_SECONDS = 30
"""How long a process of this host may be silent, or its event loop late, before it counts as stuck."""


def metrics() -> None:
    """Serve metrics, health and readiness of the whole system.

    For Prometheus at `/metrics`, for probes at `/healthz` and `/readyz`, at PORTCULLIS_METRICS_ADDRESS, by default on this machine
    only. One is enough for all machines: numbers are added up in PostgreSQL. It drains on SIGTERM. Needs DATABASE_URL and REDIS_URL.

    ```console
    $ portcullis metrics
    ```
    """
    from workers.logs import configure_logs  # noqa: PLC0415 -- only who serves pays for these
    from workers.metrics.serving import serve  # noqa: PLC0415 -- as above

    settings = MetricsSettings.load()
    configure_logs(settings.log_format)
    try:
        serve(settings)
    except OSError as error:
        to_do = "Set PORTCULLIS_METRICS_ADDRESS to an address of this machine and a port that is free."
        raise Failure(ExitCode.NOT_SET_UP, "address", f"{settings.metrics_address} can't be listened at: {error}", to_do) from error


async def health(
    process: Annotated[
        str | None,
        Parameter(show_default=False, help="Whether this one runs here: `conductor`, `enforcer` or `mailer`; by default all that did."),
    ] = None,
    *,
    ready: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Ask whether the whole system does its work, as `/readyz`.")
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Say by the exit code whether the processes of this host are well.

    For probes that run a command, where the processes run. A process that has not told PostgreSQL for 30 seconds that it is alive, or
    whose event loop was late by as much, is not; one that was killed does not count while another of its kind is well. Needs
    DATABASE_URL and, with `--ready`, REDIS_URL.

    ```console
    $ portcullis health mailer
    $ portcullis health --ready --json
    ```
    """
    faults = await _unready() if ready else await _unwell(process)
    if as_json:
        tell_json({"is_well": not faults, "faults": faults})
    elif faults:
        note(*(line for fault in faults for line in (f"portcullis: {fault['what']}", f"  What to do: {fault['to_do']}")))
    else:
        tell("ready" if ready else "well")
    return ExitCode.REFUSED if faults else ExitCode.OK


async def _unwell(process: str | None) -> list[dict[str, str]]:
    from jobs.store import counts  # noqa: PLC0415 -- as above
    from workers.cli.database import connected  # noqa: PLC0415 -- as above

    async with connected() as db:
        seen = await counts.list_of_host(db, socket.gethostname())
    wanted = [process] if process else sorted({one.kind for one in seen})
    if not wanted:
        return [{"name": "silent", "what": "no process has been heard of on this host", "to_do": "Start one of the Procfile's."}]
    return [fault for kind in wanted for fault in _unwell_of(kind, [one for one in seen if one.kind == kind])]


def _unwell_of(kind: str, seen: "list[Seen]") -> list[dict[str, str]]:
    running = [one for one in seen if one.silent_seconds <= HERE_SECONDS or _runs_here(one)]
    if not running:
        what = f"no {kind} has been heard of on this host for {HERE_SECONDS} s"
        return [{"name": "silent", "what": what, "to_do": "Start it again."}]
    stuck = [one for one in running if max(one.silent_seconds, one.loop_lag_seconds) > HERE_SECONDS]
    to_do = "Start it again, and keep its log."
    return [{"name": "stuck", "what": f"the event loop of the {kind} {one.process} is stuck", "to_do": to_do} for one in stuck]


def _runs_here(seen: "Seen") -> bool:
    """Whether a silent process still exists: a stuck one does, one that was killed does not."""
    try:
        os.kill(int(seen.process.rpartition(":")[2]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


async def _unready() -> list[dict[str, str]]:
    from jobs.store.database import close_pool, open_pool  # noqa: PLC0415 -- as above
    from workers.broker.portcullis_broker import connect  # noqa: PLC0415 -- as above
    from workers.logs import configure_logs  # noqa: PLC0415 -- as above
    from workers.metrics.readiness import causes  # noqa: PLC0415 -- as above
    from workers.metrics.standing import look  # noqa: PLC0415 -- as above

    settings = MetricsSettings.load()
    configure_logs(settings.log_format)  # to standard error: standard output is for the answer
    pool = await open_pool(settings.database_url.get_secret_value(), size=1, least=0)
    try:
        with closing(connect(settings.redis_url.get_secret_value())) as client:
            standing = await look(pool, client)
    finally:
        await asyncio.shield(close_pool(pool, seconds=2))
    return [asdict(cause) for cause in causes(standing, backlog_seconds=settings.ready_backlog_seconds)]
