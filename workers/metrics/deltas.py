"""What a registry's sums have risen by since they were last told."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample


@dataclass(frozen=True, slots=True)
class Delta:
    """How much one series has risen. `labels`: a JSON object with sorted keys, so that every process spells it the same."""

    name: str
    labels: str
    amount: float


class Deltas:
    """Reads `registry`, whose metrics only rise: counters and histograms."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._told: dict[tuple[str, str], float] = {}

    def take(self) -> list[Delta]:
        """Return what has risen since the last call; whoever takes it must tell it."""
        return [delta for sample in self._samples() if (delta := self._rise(sample)).amount]

    def _samples(self) -> Iterator[Sample]:
        for metric in self._registry.collect():
            yield from (sample for sample in metric.samples if not sample.name.endswith("_created"))

    def _rise(self, sample: Sample) -> Delta:
        series = (sample.name, spell(sample.labels))
        amount = sample.value - self._told.get(series, 0.0)
        self._told[series] = sample.value
        return Delta(*series, amount)


def spell(labels: dict[str, str]) -> str:
    """Return labels as they are kept in `portcullis.metric`."""
    return json.dumps(labels, sort_keys=True)
