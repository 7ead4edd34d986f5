"""Rules, runbook and dashboard speak of metrics that exist, of each other, and of commands that work."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from jobs.store.counts import Count
from jobs.store.measures import AuditMeasure, GateMeasure, QueueMeasure, RunMeasure
from tests.metrics_parts import families
from tests.promtool import ALERTS, RULES
from workers.broker import Depth
from workers.cli.app import VERBS
from workers.metrics.families import Scrape
from workers.metrics.quota import Quota, QuotaSettings
from workers.metrics.standing import Known, Standing
from workers.settings import ConfigurationError

FOLDER = ALERTS.parent
RUNBOOK = (FOLDER / "runbook.md").read_text()
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
NAME = re.compile(r"\bportcullis_[a-z_]+")
SELECTOR = re.compile(r"\b(portcullis_[a-z_]+)\{([^}]*)\}")


def everything_known() -> Standing:
    numbers = {name: 1 for name in QueueMeasure.__slots__ if name != "queue"}
    return Standing(
        known=Known(
            queues=[QueueMeasure(queue=queue, **numbers) for queue in ("enforce", "notify")],
            runs=RunMeasure(**dict.fromkeys(RunMeasure.__slots__, 1)),  # type: ignore[arg-type]  # true is one
            processes=[],
            steering=[],
            gate=GateMeasure(answers=True, seconds=0.001),
            audit=[AuditMeasure(invariant="I2", found=0, age_seconds=1)],
            limits={},
            counts=[Count(name="portcullis_relay_replies_total", labels={"scope": "accepted", "stage": "dot", "code": "2xx"}, value=1)],
        ),
        depths={queue: Depth(waiting=1, taken=1, consumers=1) for queue in ("enforce", "notify")},
        quotas=[Quota(relay="relay.example:587", letters=100, used=1)],
    )


@pytest.fixture(scope="module")
def samples() -> dict[str, list[dict[str, str]]]:
    """Names of samples, each with the labels of its series."""
    registry = CollectorRegistry()
    registry.register(Scrape(everything_known()))
    found: dict[str, list[dict[str, str]]] = {}
    for family in families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def queries() -> Iterator[tuple[str, str, str]]:
    """Each query of the dashboard, with its panel and its legend."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


EXPRESSIONS = [rule["expr"] for rule in RULES.values()] + [expression for _, expression, _ in queries()]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_each_expression_asks_for_series_that_exist(expression: str, samples: dict[str, list[dict[str, str]]]) -> None:
    names = set(NAME.findall(expression))
    assert names
    assert names <= set(samples)
    for name, selector in SELECTOR.findall(expression):
        for label, operator, value in re.findall(r'(\w+)(=~?)"([^"]*)"', selector):
            words = value.split("|") if operator == "=~" else [value]
            assert set(words) <= {labels[label] for labels in samples[name]}


def test_each_legend_names_labels_that_its_series_have(samples: dict[str, list[dict[str, str]]]) -> None:
    for title, expression, legend in queries():
        [first, *_] = NAME.findall(expression)
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= set(samples[first][0]), title


def test_every_panel_has_a_place_of_its_own_and_says_what_it_shows() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(panel["description"].endswith(".") for panel in panels if panel["type"] != "row")


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_says_how_bad_it_is_what_it_is_and_what_to_do(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook"] == f"workers/metrics/runbook.md#{alert.lower()}"
    section = RUNBOOK.partition(f"## {alert}\n")[2].partition("\n## ")[0]
    for part in ("**Means.** ", "**Look at.** ", "**Do.** "):
        assert part in section, alert


def test_the_runbook_has_a_section_for_each_alert_and_no_other() -> None:
    assert re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE) == list(RULES)


def test_the_runbooks_commands_exist() -> None:
    words = {tuple(verb.name.split()) for verb in VERBS} | {(verb.under,) for verb in VERBS if verb.under}
    told = [tuple(re.findall(r"^[a-z-]+(?: [a-z-]+)?", command)[0].split()) for command in re.findall(r"`portcullis ([^`]+)`", RUNBOOK)]
    assert len(told) > 15
    for command in told:
        assert command in words or command[:1] in words, command


# What the server knows of quotas.


def test_a_quota_is_what_was_ordered_for_the_relay_or_for_every_one_or_the_setting() -> None:
    settings = QuotaSettings.load({"SMTP_URL": "smtps://mail.example", "PORTCULLIS_DAILY_QUOTA": "100"})
    assert settings.relays == ("mail.example:465",)
    assert settings.limit("mail.example:465", {}) == 100
    assert settings.limit("mail.example:465", {("quota", ""): 50.0}) == 50
    assert settings.limit("mail.example:465", {("quota", ""): 50.0, ("quota", "mail.example:465"): 7.0}) == 7


def test_without_a_relay_no_quota_is_shown_and_a_password_is_not_repeated() -> None:
    assert QuotaSettings.load({}).relays == ()
    assert "hunter2" not in repr(QuotaSettings.load({"SMTP_URL": "smtps://me:hunter2@mail.example"}))
    with pytest.raises(ConfigurationError) as refused:
        QuotaSettings.load({"SMTP_URL": "http://me:hunter2@mail.example"})
    assert "hunter2" not in str(refused.value)
