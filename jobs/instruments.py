"""What the processes count themselves, because PostgreSQL can't know it: names, units and labels as Prometheus wants them.

The objects stand in a registry of our own. No process shows it; what has been added since last time goes into `portcullis.metric`
every few seconds (`workers.metrics`), where the sums of all processes meet. Labels are words of ours, few and known beforehand: no
organization, member, address or domain. Count by the batch, wave or flush, never by the letter.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from jobs.domain.letters import LetterState
from jobs.domain.outcomes import Scope
from jobs.domain.verdicts import Verdict
from jobs.store.batches import Stage

REGISTRY: Final = CollectorRegistry()

QUEUES: Final = ("enforce", "notify")
PROCESSES: Final = ("conductor", "enforcer", "mailer")
ENDINGS: Final = ("done", "deferred", "obsolete", "broken", "slow", "weather", "failed", "cut_off")
"""How a claim ended: in order; to be done later; no longer wanted; not to be mended by trying again; longer than its lease allows; the
database or Redis away; an error of ours or the main app's; without a word in the database, because the worker was told to end at once."""

BATCHES = Counter("portcullis_batches", "Claims of batches that ended, by stage and ending.", ["stage", "ending"], registry=REGISTRY)
BATCH_SECONDS = Histogram(
    "portcullis_batch_seconds",
    "Time from the claim of a batch to its end.",
    ["stage"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=REGISTRY,
)
OUTDATED_HINTS = Counter("portcullis_outdated_hints", "Hints that pointed to a batch that nobody had to do any more.", registry=REGISTRY)
MEMBERS_JUDGED = Counter("portcullis_members_judged", "Members that were judged by a batch, by verdict.", ["verdict"], registry=REGISTRY)
SESSIONS_ENDED = Counter("portcullis_sessions_ended", "Sessions that were ended.", registry=REGISTRY)

LETTERS = Counter("portcullis_letters", "Outcomes of letters as written into the ledger, by state.", ["state"], registry=REGISTRY)
RELAY_REPLIES = Counter(
    "portcullis_relay_replies",
    "What relays answered to letters: whose matter it was, at which stage, and the class of the code (none: no answer).",
    ["scope", "stage", "code"],
    registry=REGISTRY,
)
UNRECORDED_FLUSHES = Counter("portcullis_unrecorded_flushes", "Attempts to write outcomes of letters that failed.", registry=REGISTRY)
LIMITED_LETTERS = Counter("portcullis_limited_letters", "Times that a due letter was held back by a sending limit.", registry=REGISTRY)
LIMITER_WAIT = Counter(
    "portcullis_limiter_wait_seconds", "Time that batches of letters were told to wait by a sending limit.", registry=REGISTRY
)

HINTS = Counter("portcullis_hints", "Hints that the conductor published.", ["queue"], registry=REGISTRY)
REPEATED_HINTS = Counter("portcullis_repeated_hints", "Those of them that repeat one that nobody took.", ["queue"], registry=REGISTRY)
LEASE_EXPIRIES = Counter("portcullis_lease_expiries", "Batches taken from a worker that fell silent.", ["queue"], registry=REGISTRY)
UNPUBLISHED_HINTS = Counter("portcullis_unpublished_hints", "Hints that Redis did not take.", registry=REGISTRY)
LOOK_SECONDS = Histogram(
    "portcullis_conductor_look_seconds",
    "Time of one look of the leading conductor.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)
LOOK_FAILURES = Counter("portcullis_conductor_look_failures", "Looks that ended with an error.", registry=REGISTRY)
BURIED = Counter("portcullis_buried_batches", "Batches put aside for a human.", ["stage"], registry=REGISTRY)
RUNS_CLOSED = Counter("portcullis_closed_runs", "Runs of which nothing is left to do.", registry=REGISTRY)

QUARANTINED = Counter(
    "portcullis_quarantined_messages", "Messages that could not be trusted or read, by reason.", ["reason"], registry=REGISTRY
)
BOUNCE_REPORTS = Counter(
    "portcullis_bounce_reports",
    "Messages that came back and were read, by what became of them, and why. Many forged ones: somebody tries to silence letters.",
    ["result", "why"],
    registry=REGISTRY,
)
LOOP_LAG = Histogram(
    "portcullis_event_loop_lag_seconds",
    "How late a process's event loop was with what was due, looked at twice a second.",
    ["process"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)


def _show_from_the_start() -> None:
    """Begin at zero what an alert asks the increase of: a series that begins at one has not risen."""
    for stage in Stage:
        BURIED.labels(stage)
        BATCH_SECONDS.labels(stage)
        for ending in ENDINGS:
            BATCHES.labels(stage, ending)
    for state in LetterState:
        if state is not LetterState.SENDING:
            LETTERS.labels(state)
    BOUNCE_REPORTS.labels("ignored", "forged")
    for queue in QUEUES:
        for counter in (HINTS, REPEATED_HINTS, LEASE_EXPIRIES):
            counter.labels(queue)
    for process in PROCESSES:
        LOOP_LAG.labels(process)
    for verdict in Verdict:
        MEMBERS_JUDGED.labels(verdict)


def code_class(code: int | None) -> str:
    """Return `2xx`, `4xx`, `5xx` for a reply code, `none` for an answer that never came."""
    return "none" if code is None else f"{code // 100}xx"


def count_replies(replies: dict[tuple[Scope, str, int | None], int]) -> None:
    """Add replies, collected by (scope, stage, code)."""
    for (scope, stage, code), times in replies.items():
        RELAY_REPLIES.labels(scope, stage, code_class(code)).inc(times)


_show_from_the_start()
