"""Reports of failed delivery, from a Maildir or from standard input, into the ledger and onto the suppression list."""

import os
import socket
import sys
from collections import Counter
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import asyncpg
from cyclopts import Parameter

from jobs.bounces import LONGEST_READ, Reader, Result, Taken, Uselessness
from jobs.store.counts import add_apart
from jobs.store.database import WEATHER, Connection, is_weather
from workers.cli.database import connected
from workers.cli.exit_codes import ExitCode
from workers.cli.explaining import not_installed
from workers.cli.failure import Failure
from workers.cli.options import AsJson
from workers.cli.screen import note, tell, tell_json
from workers.maildir import Maildir, NoMaildirError, read_head
from workers.metrics.deltas import spell
from workers.settings import BounceSettings, ConfigurationError, DatabaseSettings, KeySettings

MOST_DRAINED = 100 * 1024 * 1024
"""Octets of a message on standard input that are read and thrown away, so that whoever writes it comes to its end."""

BOUNCE_REPORTS = "portcullis_bounce_reports_total"
"""As `jobs.instruments` declares it."""

UNREAD = "unread"
"""How a message is counted that PostgreSQL refused to hear of; it stays where it is."""


class _Needed(KeySettings, BounceSettings, DatabaseSettings):
    """What it takes to know a letter of ours."""


async def read(
    source: Annotated[
        str | None, Parameter(allow_leading_hyphen=True, help="`-`: one message from standard input, for a mail server's pipe.")
    ] = None,
    /,
    *,
    maildir: Annotated[Path | None, Parameter(help="A Maildir: reads what is in `new`, and moves it to `cur`.")] = None,
    recipient: Annotated[str | None, Parameter(help="With `-`: the envelope recipient, where the server can pass it.")] = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Take mail that came back: letters that did not arrive are refused after all, their addresses suppressed.

    A report (RFC 3464) is matched by the address it came to, else by the Message-ID it quotes, and believed only if that proves itself.
    Whatever else arrives there is passed over. All are counted, in the metrics too (`portcullis_bounce_reports_total`). Safe to repeat,
    and to kill: a message is moved once its outcome is committed. From standard input it exits with 0, or with 75 when the server should
    hand the message over again. Needs DATABASE_URL, PORTCULLIS_KEYS and, to match by address, PORTCULLIS_BOUNCE_ADDRESS.

    ```console
    $ portcullis bounces read --maildir /var/mail/bounces
    $ portcullis bounces read - --recipient ${recipient}   # in Postfix's master.cf: flags=DORq user=portcullis argv=...
    ```
    """
    if (source is None) == (maildir is None) or source not in (None, "-"):
        raise Failure(ExitCode.USAGE, "usage", "bounces read takes either --maildir or `-`", "Name a Maildir, or pass one message to `-`.")
    if maildir is None:
        return await _from_standard_input(recipient, as_json=as_json)
    return await _from_maildir(maildir, as_json=as_json)


async def _from_maildir(folder: Path, *, as_json: bool) -> ExitCode:
    settings = _Needed.load()
    results: list[Taken] = []
    unread = 0
    try:
        maildir = Maildir(folder)
        async with connected() as db:
            reader = await _reader(db, settings)
            for path in maildir.waiting():
                octets = read_head(path, LONGEST_READ + 1)
                if octets is None:
                    continue
                try:
                    taken = await reader.take(octets)
                except asyncpg.PostgresError as error:
                    if is_weather(error):
                        raise
                    unread += 1  # one message that PostgreSQL won't hear of must not hold up the others
                    note(f"{path.name}: left where it is: {type(error).__name__}")
                    continue
                results.append(taken)
                note(f"{path.name}: {_line(taken)}")
                if taken.result is not Result.TOO_EARLY:
                    maildir.file_away(path)
            await _count(db, results)
    except NoMaildirError as error:
        raise Failure(
            ExitCode.REFUSED, "no_maildir", str(error), "Name the folder that holds `new` and `cur`, and let us write there."
        ) from error
    _sum_up(results, unread, as_json=as_json)
    return ExitCode.REFUSED if unread else ExitCode.OK


async def _from_standard_input(recipient: str | None, *, as_json: bool) -> ExitCode:
    """Whatever goes wrong here is no reason to lose the report: the mail server keeps it and comes again."""
    octets = sys.stdin.buffer.read(LONGEST_READ + 1)
    _drain()
    try:
        settings = _Needed.load()
        async with connected() as db:
            taken = await (await _reader(db, settings)).take(octets, came_to=recipient)
            await _count(db, [taken])
    except Failure as failure:
        raise Failure(ExitCode.TRY_AGAIN, failure.name, failure.what, failure.to_do, failure.details) from failure
    except ConfigurationError as error:
        to_do = "Set them in the environment of the mail server's pipe."
        raise Failure(ExitCode.TRY_AGAIN, "configuration", "The configuration has faults", to_do, error.faults) from error
    note(_line(taken))
    _sum_up([taken], 0, as_json=as_json)
    return ExitCode.TRY_AGAIN if taken.result is Result.TOO_EARLY else ExitCode.OK


def _drain() -> None:
    left = MOST_DRAINED
    while left > 0 and (read := len(sys.stdin.buffer.read(LONGEST_READ))):
        left -= read


async def _reader(db: Any, settings: _Needed) -> Reader:
    try:
        return await Reader.open(db, settings.key_ring, settings.bounce_address)
    except LookupError:
        raise not_installed() from None


async def _count(db: Connection, results: list[Taken]) -> None:
    """Add to the metrics. What was taken is committed, and stays taken when this can't be written."""
    numbers = Counter((taken.result.value, str(taken.why)) for taken in results)
    rises = [(BOUNCE_REPORTS, spell({"result": result, "why": why}), float(number)) for (result, why), number in numbers.items()]
    try:
        process = f"{socket.gethostname()}:{os.getpid()}/bounces"
        await add_apart(db, process=process, kind="bounces", version=version("portcullis"), rises=rises)
    except (*WEATHER, asyncpg.PostgresError) as error:
        note(f"not counted for metrics: {type(error).__name__}")


def _line(taken: Taken) -> str:
    """Say what became of one message. Ids, never an address."""
    if taken.result is Result.IGNORED:
        return f"ignored: {taken.why}"
    about = f"{taken.slot} of {taken.number} to member {taken.member}" + (f", {taken.status}" if taken.status else "")
    return f"{taken.result}: {taken.why}: {about}{', address suppressed' if taken.is_suppressed else ''}"


def _sum_up(results: list[Taken], unread: int, *, as_json: bool) -> None:
    counts = Counter(taken.result for taken in results)
    ignored = Counter(taken.why for taken in results if taken.result is Result.IGNORED)
    if as_json:
        numbers = {result.value: counts[result] for result in Result}
        found = [asdict(taken) for taken in results if taken.result is not Result.IGNORED]
        tell_json({"messages": len(results) + unread, **numbers, UNREAD: unread, "reasons": dict(ignored), "letters": found})
        return
    tell(f"{len(results) + unread:,} messages: {', '.join(f'{counts[result]:,} {_word(result)}' for result in Result)}.")
    if ignored:
        tell(f"Ignored: {', '.join(f'{count:,} {why}' for why, count in sorted(ignored.items()))}.")
    if ignored[Uselessness.FORGED]:
        tell("Forged ones name a letter and can't prove it. A few are a curiosity; many are somebody trying to silence you.")
    if unread:
        tell(f"{unread:,} could not be taken and are left in `new`.")


def _word(result: Result) -> str:
    return result.value.replace("_", " ")
