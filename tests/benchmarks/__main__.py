"""`make bench`: how fast Portcullis is, each figure a ratio to something else that ran on the same servers in the same minutes.

    make bench                                  the figures of the table, some ten minutes on two quiet cores
    make bench ARGS="--members 1000000"         a million members in the first organization
    make bench ARGS="--only latency"            a part: runs, neighbours, latency, peers, mailing
    make bench ARGS="--write"                   keep table and picture beside this file, for the README

Servers, sink and processes are the bench's own and end with it; `DATABASE_URL` names another PostgreSQL. Each run's end is checked
against what its people were made for: a quick run with a wrong end is an error, not a figure.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import redis
import uvloop

from tests.benchmarks import first_session, neighbours
from tests.benchmarks.ground import Crowd, Ground, a_ground, a_valkey
from tests.benchmarks.mailing import LIMIT, measure_mailing
from tests.benchmarks.picture import picture
from tests.benchmarks.report import markdown
from tests.benchmarks.results import Machine, Results
from tests.benchmarks.side_by_side import PEERS, measure_peer
from tests.benchmarks.sink import REMEDY, SMTP_SINK, octets_a_letter
from tests.benchmarks.system import BenchError, Crew
from tests.benchmarks.whole_run import Measured, measure
from tests.benchmarks.yardsticks import one_statement, smtp_source
from workers.demo.embedded import SetupError
from workers.demo.folder import own_folder
from workers.demo.people import OrganizationSpec
from workers.demo.story import ended_by_sigterm

PARTS = ("runs", "neighbours", "latency", "peers", "mailing")
WARM_UP_MEMBERS = 2_000
QUIET = 0.5
"""A load average above this, at the start, is worth a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for. Sizes are members; `rounds` is how often each thing runs."""

    members: int
    small: int
    large: int
    peer_members: int
    rounds: int
    switches: int
    crew: Crew
    parts: Sequence[str]
    write: bool


async def bench(options: Options, folder: Path) -> Results:
    """Measure what was asked for.

    Raises:
        BenchError: A run ended wrongly.
        SetupError: Something is missing on this machine.
    """
    with a_ground(folder) as ground:
        _tell("warming up")
        await _warm_up(ground)
        results = Results(machine=await _machine(ground), octets_a_letter=ground.octets_a_letter, crew=_in_words(options.crew))
        for part, measured in (
            ("peers", _peers),
            ("latency", _latency),
            ("runs", _runs),
            ("neighbours", _neighbours),
            ("mailing", _mailing),
        ):
            if part in options.parts:
                await measured(ground, options, results)
        return results


async def _warm_up(ground: Ground) -> None:
    """Fill caches, and find out how large a letter is."""
    async with ground.crowd(_organization(WARM_UP_MEMBERS)) as crowd:
        await measure(ground, crowd, crew=Crew(), sample=True)
        ground.octets_a_letter = octets_a_letter(ground.folder)


async def _runs(ground: Ground, options: Options, results: Results) -> None:
    async with AsyncExitStack() as stack:
        _tell(f"inventing {options.members + options.small:,} people")
        crowd = await stack.enter_async_context(ground.crowd(_organization(options.members)))
        small = await stack.enter_async_context(ground.crowd(_organization(options.small)))
        results.gate_members = max(results.gate_members, options.members)
        for number in range(1, options.rounds + 1):
            results.runs.append(await _ours(ground, crowd, options, number))
            results.gates.append(results.runs[-1].gate)
            results.statements.append(await one_statement(ground, crowd))
            _tell(f"round {number}: one SQL statement took {results.statements[-1]:.2f} s")
            if source := await smtp_source(ground, results.runs[-1].letters):
                results.sources.append(source)
                _tell(f"round {number}: smtp-source sent {source:,.0f} letters/s")
            results.small.append(await _ours(ground, small, options, number))


async def _neighbours(ground: Ground, options: Options, results: Results) -> None:
    _tell(f"inventing {options.large:,} people and ten small organizations, twice")
    async with neighbours.a_crowd(ground, options.large) as crowd:
        for number in range(1, options.rounds + 1):
            alone = await _ours(ground, crowd, options, number)
            results.large.append(alone)
            if options.large > results.gate_members:
                results.gates, results.gate_members = [], options.large
            if options.large == results.gate_members:
                results.gates.append(alone.gate)
            beside = await neighbours.measure_beside(ground, crowd, crew=options.crew, seconds_alone=alone.last_letter)
            results.beside.append(beside)
            ratios = f"{beside.ratio:.2f} times as long, at most {beside.worst_ratio:.2f}"
            _tell(f"round {number}: ten of {neighbours.SMALL_MEMBERS} beside it, {ratios}")


async def _latency(ground: Ground, options: Options, results: Results) -> None:
    _tell(f"{options.switches} switches of an idle system")
    async with first_session.a_crowd(ground, options.switches) as crowd:
        results.first_sessions = await first_session.first_sessions(ground, crowd, crew=options.crew)


async def _mailing(ground: Ground, options: Options, results: Results) -> None:
    for number in range(1, options.rounds + 1):
        found = await measure_mailing(ground)
        results.mailing.append(found)
        if found.unpipelined and found.aiosmtplib:
            _tell(f"round {number}: without pipelining {found.unpipelined:,.0f} letters/s, aiosmtplib {found.aiosmtplib:,.0f}")
        _tell(f"round {number}: limit of {LIMIT}/s: {found.busiest} in the busiest second, {100 * found.used:.1f} % used")
        _tell(f"round {number}: every reply late: {found.delayed:,.0f} letters/s; composing {found.fill:.1f} µs")


async def _peers(ground: Ground, options: Options, results: Results) -> None:
    async with ground.crowd(_organization(options.peer_members)) as crowd:
        for number in range(1, options.rounds + 1):
            for peer in PEERS:
                measured = await measure_peer(ground, crowd, peer)
                results.peers.setdefault(peer.name, []).append(measured)
                _tell(f"round {number}: {peer.name}: {measured.members_a_second:,.0f} members/s")


async def _ours(ground: Ground, crowd: Crowd, options: Options, number: int) -> Measured:
    run = await measure(ground, crowd, crew=options.crew)
    _tell(
        f"round {number}: {run.members:,} members, sessions {run.last_session:.2f} s, letters {run.last_letter:.2f} s,"
        f" {run.members_a_second:,.0f} members/s, {run.letters_a_second:,.0f} letters/s,"
        f" others took {100 * run.foreign_share:.0f} % of the CPU"
    )
    return run


def _organization(members: int) -> OrganizationSpec:
    return OrganizationSpec(members=members, share_unprotected=0.7, with_oddities=False)


def _in_words(crew: Crew) -> str:
    return f"{crew.enforcers} enforcer and {crew.mailers} mailer process{'es' if crew.mailers > 1 else ''}, limits off"


async def _machine(ground: Ground) -> Machine:
    async with ground.admin() as admin:
        version: str = await admin.fetchval("SHOW server_version")
    with a_valkey() as url, redis.Redis.from_url(url) as client:
        valkey = client.info("server")["valkey_version"]
    return Machine(
        cores=os.cpu_count() or 1,
        cpu=_cpu(),
        python=f"Python {platform.python_version()}",
        postgres=f"PostgreSQL {version.split(maxsplit=1)[0]}",
        redis=f"Valkey {valkey}",
        sink="Postfix's smtp-sink" if SMTP_SINK else "a sink of the bench's own",
    )


def _cpu() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _tell(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {line}\n")
    sys.stderr.flush()


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {
        "members": (100_000, "members of the first organization"),
        "small": (10_000, "members of the one that its time per member is held against"),
        "large": (200_000, "members of the one that ten small ones run beside"),
        "peer-members": (3_000, "members of the organization that the other designs get"),
        "rounds": (3, "how often everything runs"),
        "switches": (120, "switches whose first session is timed"),
        "enforcers": (1, "enforcer processes"),
        "mailers": (1, "mailer processes"),
    }
    for name, (usual, words) in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=usual, metavar="N", help=f"{words} (default {usual:,})")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part only; may be given several times")
    parser.add_argument(
        "--write", action="store_true", help="write figures.md and figures.svg beside this program, unless other processes disturbed it"
    )
    given = parser.parse_args(arguments)
    return Options(
        members=given.members,
        small=given.small,
        large=given.large,
        peer_members=given.peer_members,
        rounds=given.rounds,
        switches=given.switches,
        crew=Crew(enforcers=given.enforcers, mailers=given.mailers),
        parts=given.only or PARTS,
        write=given.write,
    )


async def _bench_until_told(options: Options, folder: Path) -> Results:
    with ended_by_sigterm():
        return await bench(options, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write them if asked. Returns 0, 1 for a wrong end or too much noise, 2 where something is missing."""
    options = _options(arguments)
    if SMTP_SINK is None:
        _tell(REMEDY)
    if os.getloadavg()[0] > QUIET:
        _tell(f"the machine is not quiet (load {os.getloadavg()[0]:.1f}): ratios suffer less than absolute figures, but they do")
    try:
        results = uvloop.run(_bench_until_told(options, own_folder("bench")))
    except (BenchError, SetupError) as error:
        sys.stderr.write(f"\nThe bench has no result: {error}\n")
        return 2 if isinstance(error, SetupError) else 1
    report = markdown(results)
    sys.stdout.write(f"\n{report}")
    if options.write and results.is_noisy:
        _tell("nothing was written: these figures are no good for the README")
        return 1
    if options.write:
        here = Path(__file__).parent
        (here / "figures.md").write_text(report, encoding="utf-8")
        (here / "figures.svg").write_text(picture(results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
