"""One run from the switch to the last letter on a copy of a crowd, and everything that can be said of it afterwards."""

from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.gate import gate_seconds
from tests.benchmarks.ground import Crowd, Ground
from tests.benchmarks.system import Crew, System, a_system, check_end, insist, moment, seconds_between

PACE = """
    SELECT extract(epoch FROM t[2] - t[1]) / nullif(extract(epoch FROM t[4] - t[3]), 0)
    FROM (SELECT percentile_disc(ARRAY[0, 0.1, 0.9, 1]) WITHIN GROUP (ORDER BY d.changed_at) AS t
          FROM portcullis.delivery d WHERE d.run_id = $1 AND d.slot = 'notice' AND d.state = 'accepted') q
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one run came to. Seconds count from the switch; memory is in octets; CPU seconds by process, apart for both phases."""

    members: int
    letters: int
    last_session: float
    last_letter: float
    redis_peak: int
    resident: dict[str, int] = field(default_factory=dict)
    cpu_sessions: dict[str, float] = field(default_factory=dict)
    cpu_letters: dict[str, float] = field(default_factory=dict)
    foreign_share: float = 0.0
    pace: float = 0.0
    """Letters a second in the last tenth of the run's letters, against the first tenth."""
    gate: list[float] = field(default_factory=list)
    """Seconds of each call of the gate, asked when the run was over."""

    @property
    def members_a_second(self) -> float:
        """From the switch to the last letter."""
        return self.members / self.last_letter

    @property
    def letters_a_second(self) -> float:
        """From the last session ended to the last letter: sessions come first, letters begin behind that barrier."""
        return self.letters / (self.last_letter - self.last_session)


async def measure(ground: Ground, crowd: Crowd, *, crew: Crew, sample: bool = False) -> Measured:
    """Run the crowd's first organization.

    Raises:
        BenchError: The run ended wrongly.
    """
    organization = crowd.organizations[0]
    async with ground.copy_of(crowd) as database_url, a_system(ground, database_url, crew=crew, sample=sample) as system:
        status = await system.until_done(await system.switch_on(organization))
        await check_end(system, organization, status)
        pace = await system.db.fetchval(PACE, status["run_id"])
        measured = _measured(system, status, await gate_seconds(system.db, organization), float(pace or 0))
        insist("the sink", {"letters": system.sink.letters()}, {"letters": status["letters"]["accepted"] + 1})
        return measured


def _measured(system: System, status: dict[str, Any], gate: list[float], pace: float) -> Measured:
    begin, between, end = (moment(status, name) for name in ("requested_at", "last_session_ended_at", "last_letter_at"))
    return Measured(
        members=status["members"],
        letters=status["letters"]["accepted"],
        last_session=seconds_between(status, "requested_at", "last_session_ended_at"),
        last_letter=seconds_between(status, "requested_at", "last_letter_at"),
        redis_peak=system.redis_peak(),
        resident=dict(system.watch.resident),
        cpu_sessions=system.watch.cpu(begin, between),
        cpu_letters=system.watch.cpu(between, end),
        foreign_share=system.watch.foreign_share(begin, end),
        pace=pace,
        gate=gate,
    )
