"""The verb itself: which checks there are, in which order, and how their findings are shown."""

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import TypeAlias, TypeVar

from jobs.store.database import Connection
from workers.cli.doctor import broker, clock, contract, database, keys, plans, relay, roles, settings, workers
from workers.cli.doctor.findings import Finding, Level, fault, faults, note
from workers.cli.exit_codes import ExitCode
from workers.cli.explaining import reason
from workers.cli.options import AsJson
from workers.cli.screen import tell, tell_json
from workers.settings import ConfigurationError, DatabaseSettings, Environment, KeySettings, RedisSettings, RelaySettings

Examined: TypeAlias = dict[str, list[Finding]]
Part = TypeVar("Part", bound=Environment)

SECONDS = 60.0
UNREAD = [note("not looked at: its variables are not fit, see settings")]
NO_DATABASE = [note("not looked at: there is no database")]


async def doctor(*, as_json: AsJson = False) -> ExitCode:
    """Look at everything that Portcullis stands on, and say what to do about it.

    Settings, database, the contract with the main app and its plans, broker, relay, keys, clocks, workers. Changes nothing and sends
    nothing. Run it where the processes run: it reads the whole environment, and looks at whatever can be read of it.

    ```console
    $ portcullis doctor
    $ portcullis doctor --json | jq '.findings[] | select(.level == "fault")'
    ```
    """
    examined = await examine()
    must_mend = faults(finding for findings in examined.values() for finding in findings)
    if as_json:
        told = [{"subject": subject, **asdict(finding)} for subject, findings in examined.items() for finding in findings]
        tell_json({"healthy": must_mend == 0, "findings": told})
    else:
        for subject, findings in examined.items():
            tell(subject, *(line for finding in findings for line in _lines(finding)))
        tell("", f"To mend: {must_mend}." if must_mend else "Nothing must be mended.")
    return ExitCode.REFUSED if must_mend else ExitCode.OK


async def examine() -> Examined:
    """Run every check, and return findings by subject, in the order in which they are read."""
    redis_settings, relay_settings, key_settings = _load(RedisSettings), _load(RelaySettings), _load(KeySettings)
    async with AsyncExitStack() as stack:
        db, reached = await _reach(stack)
        on_broker = asyncio.create_task(_guard(broker.check(redis_settings)) if redis_settings else _already(UNREAD))
        on_relay = asyncio.create_task(_guard(relay.check(relay_settings)) if relay_settings else _already(UNREAD))
        on_database = await _examine_database(db) if db is not None else {}
        return {
            "settings": settings.check(),
            "database": reached or on_database["database"],
            "contract": on_database.get("contract", NO_DATABASE),
            "plans": on_database.get("plans", NO_DATABASE),
            "roles": on_database.get("roles", NO_DATABASE),
            "broker": await on_broker,
            "relay": await on_relay,
            "keys": [*(keys.check(key_settings) if key_settings else UNREAD), *on_database.get("messages", [])],
            "clock": await _guard(clock.check(db, redis_settings)),
            "workers": on_database.get("workers", NO_DATABASE),
        }


async def _reach(stack: AsyncExitStack) -> tuple[Connection | None, list[Finding]]:
    part = _load(DatabaseSettings)
    if part is None:
        return None, UNREAD
    reached = await database.reach(part.database_url.get_secret_value(), "DATABASE_URL")
    if isinstance(reached, Finding):
        return None, [reached]
    stack.callback(reached.terminate)
    return reached, []


async def _examine_database(db: Connection) -> Examined:
    """Ask what goes over one connection, one after the other; what needs our schema only where it is up to date."""
    found = {"database": await _guard(database.check(db, DatabaseSettings.load())), "contract": await _guard(contract.check(db))}
    if faults(found["database"]) or faults(found["contract"]):
        skipped = [note("not looked at: first mend what is said above")]
        return {**found, "plans": skipped, "roles": skipped, "workers": skipped}
    return {
        **found,
        "plans": await _guard(plans.check(db)),
        "roles": await _guard(roles.check(db)),
        "messages": await _guard(keys.check_messages(db)),
        "workers": await _guard(workers.check(db)),
    }


async def _guard(check: Awaitable[list[Finding]]) -> list[Finding]:
    """Let no check take the others with it."""
    try:
        return await asyncio.wait_for(check, SECONDS)
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is a finding
        return [fault(f"could not be looked at: {type(error).__name__}: {reason(error)}", "Try again; if it stays, report it.")]


async def _already(findings: list[Finding]) -> list[Finding]:
    return findings


def _load(part: type[Part]) -> Part | None:
    try:
        return part.load()
    except ConfigurationError:
        return None


def _lines(finding: Finding) -> list[str]:
    level = finding.level if finding.level in {Level.OK, Level.NOTE} else finding.level.upper()
    to_do = [f"           What to do: {finding.to_do}"] if finding.to_do else []
    return [f"  {level:<7}  {finding.what}", *to_do]
