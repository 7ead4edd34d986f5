"""Turns what is known at a scrape into Prometheus' families: one name, one unit, one sentence of help each."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from jobs import instruments
from jobs.store.counts import Count
from jobs.store.measures import AuditMeasure, GateMeasure, ProcessMeasure, QueueMeasure, RunMeasure, SteeringMeasure
from workers.broker import Reason
from workers.metrics.standing import Known, Standing

Rows: TypeAlias = Iterable[tuple[tuple[str, ...], float]]


class Scrape(Collector):
    """One scrape, as a registry takes it."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def collect(self) -> Iterator[Metric]:
        """Yield every family; those of a server that is away have no samples, so that nothing old is shown as new."""
        standing = self._standing
        known = standing.known
        yield _gauge("portcullis_database_up", "Whether PostgreSQL answered.", known is not None)
        yield _gauge("portcullis_redis_up", "Whether Redis answered.", bool(standing.depths))
        yield from _of_redis(standing)
        if known is not None:
            yield from _of_database(known)


def _of_database(known: Known) -> Iterator[Metric]:
    yield from _of_queues(known.queues)
    yield from _of_runs(known.runs)
    yield from _of_processes(known.processes)
    yield from _of_steering(known.steering)
    yield from _of_gate(known.gate)
    yield from _of_audit(known.audit)
    yield from _of_counts(known.counts)


def _of_redis(standing: Standing) -> Iterator[Metric]:
    hints = [((name, state), float(getattr(depth, state))) for name, depth in standing.depths.items() for state in ("waiting", "taken")]
    yield _gauges("portcullis_redis_hints", "Hints in Redis.", ("queue", "state"), hints)
    drifts = [((name,), float(drift)) for name, drift in standing.drifts.items()]
    letters = [((quota.relay,), quota.letters) for quota in standing.quotas]
    used = [((quota.relay,), float(quota.used)) for quota in standing.quotas]
    yield _gauges("portcullis_quota_letters", "Letters that may leave through a relay in 24 hours.", ("relay",), letters)
    yield _gauges("portcullis_quota_used_letters", "Those of them that have left.", ("relay",), used)
    yield _gauges(
        "portcullis_hint_drift", "Hints that PostgreSQL believes to be with workers, less those that Redis has.", ("queue",), drifts
    )


BATCH_STATES = ("ready", "waiting", "in_flight", "paused", "dead")
QUEUE_GAUGES = {
    "oldest_ready_seconds": ("portcullis_queue_oldest_ready_seconds", "How long the oldest batch has been ready for a worker."),
    "stalled_seconds": ("portcullis_queue_stalled_seconds", "How long batches have been ready while nothing of the queue was finished."),
    "run_stalled_seconds": ("portcullis_run_stalled_seconds", "The same of the one run for which it is longest."),
    "unhinted_seconds": ("portcullis_conductor_lag_seconds", "How long the first batch of some run has been ready without a hint."),
    "expired_leases": ("portcullis_expired_leases", "Batches whose worker fell silent, and that nobody has taken yet."),
    "workers": ("portcullis_workers", "Worker processes that announced themselves within 30 seconds."),
    "threads": ("portcullis_worker_threads", "Batches that they can work on at a time."),
}


def _of_queues(queues: list[QueueMeasure]) -> Iterator[Metric]:
    states = [((queue.queue, state), float(getattr(queue, state))) for queue in queues for state in BATCH_STATES]
    yield _gauges("portcullis_queue_batches", "Batches that are not done, by what they wait for.", ("queue", "state"), states)
    for field, (name, help_) in QUEUE_GAUGES.items():
        yield _gauges(name, help_, ("queue",), [((queue.queue,), float(getattr(queue, field))) for queue in queues])


RUN_STATES = ("running", "paused", "scheduled", "settling", "lingering")


def _of_runs(runs: RunMeasure) -> Iterator[Metric]:
    states = [((state,), float(getattr(runs, state))) for state in RUN_STATES]
    letters = [((state,), float(getattr(runs, f"letters_{state}"))) for state in ("owed", "sending", "deferred")]
    yield _gauges("portcullis_runs", "Runs of which something is open; lingering: done but for deferred letters.", ("state",), states)
    yield _gauge("portcullis_oldest_run_seconds", "Age of the oldest run that is not done, from when it applied.", runs.oldest_seconds)
    yield _gauges("portcullis_open_letters", "Letters without a final state.", ("state",), letters)
    yield _gauge("portcullis_conductor_leading", "Whether a conductor leads.", runs.is_led)
    term = CounterMetricFamily("portcullis_conductor_terms", "How often the lead among the conductors has changed hands.")
    term.add_metric((), runs.term)
    yield term
    yield _gauge("portcullis_quarantine_messages", "Messages in quarantine.", runs.quarantined)
    yield _gauge("portcullis_suppressed_addresses", "Addresses that are not written to.", runs.suppressed)


def _of_processes(processes: list[ProcessMeasure]) -> Iterator[Metric]:
    alive = dict.fromkeys(("conductor", "enforcer", "mailer"), (0, 0.0))
    alive |= {process.kind: (process.processes, process.lag_seconds) for process in processes}
    counted = [((kind,), float(number)) for kind, (number, _) in alive.items()]
    lags = [((kind,), lag) for kind, (_, lag) in alive.items()]
    yield _gauges("portcullis_processes", "Processes heard of within 30 seconds.", ("process",), counted)
    yield _gauges("portcullis_process_lag_seconds", "How late the latest of their event loops was, within 5 seconds.", ("process",), lags)


def _of_steering(steering: list[SteeringMeasure]) -> Iterator[Metric]:
    pauses = dict.fromkeys(((scope,) for scope in ("everything", "queue", "organization", "run")), 0.0)
    pauses |= {(row.scope,): float(row.times) for row in steering if row.what == "pause"}
    breakers: dict[tuple[str, str], float] = dict.fromkeys(((scope, "") for scope in ("relay", "letter", "domain")), 0.0)
    breakers |= {(row.scope, row.subject): float(row.times) for row in steering if row.what == "breaker"}
    yield _gauges("portcullis_pauses", "What people have paused.", ("scope",), pauses.items())
    yield _gauges(
        "portcullis_open_breakers",
        "Breakers that let nothing through; of relays, one for each mailer process that sees it; of domains, their number.",
        ("scope", "subject"),
        breakers.items(),
    )


def _of_gate(gate: GateMeasure) -> Iterator[Metric]:
    yield _gauge("portcullis_gate_up", "Whether the gate answered this scrape's question.", gate.answers)
    seconds = [] if gate.seconds is None else [((), gate.seconds)]
    yield _gauges("portcullis_gate_probe_seconds", "How long the answer took.", (), seconds)


def _of_audit(audit: list[AuditMeasure]) -> Iterator[Metric]:
    found = [((one.invariant,), float(one.found)) for one in audit]
    ages = [((), max(one.age_seconds for one in audit))] if audit else []
    yield _gauges("portcullis_audit_violations", "Violations of an invariant that the auditor found last.", ("invariant",), found)
    yield _gauges("portcullis_audit_age_seconds", "How long ago the auditor looked at what it has not looked at for longest.", (), ages)


def _of_counts(counts: list[Count]) -> Iterator[Metric]:
    """Yield what processes count: the families of `instruments`, at zero where nobody has counted yet, with the sums of all."""
    sums: defaultdict[str, list[Sample]] = defaultdict(list)
    for count in counts:
        sums[count.name].append(Sample(count.name, count.labels, count.value))
    for declared in instruments.REGISTRY.collect():
        names = [declared.name + suffix for suffix in SUFFIXES[declared.type]]
        zeros = [sample._replace(value=0.0) for sample in declared.samples if sample.name in names]
        samples = {_place(sample): sample for sample in (*zeros, *(told for name in names for told in sums[name]))}
        family = Metric(declared.name, declared.documentation, declared.type)
        family.samples = [samples[place] for place in sorted(samples)]
        yield family


for _reason in Reason:  # at zero from the start: the first message of a kind must be a rise
    instruments.QUARANTINED.labels(_reason)

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


def _place(sample: Sample) -> tuple[tuple[tuple[str, str], ...], str, float]:
    """Return where a sample stands: one histogram's together, its buckets from the least to the largest, as OpenMetrics asks."""
    labels = dict(sample.labels)
    bound = float(labels.pop("le", 0))
    return tuple(sorted(labels.items())), sample.name, bound


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_, value=float(value))


def _gauges(name: str, help_: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    family = GaugeMetricFamily(name, help_, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family
