"""Debian's promtool, to check rules and to run them over what was scraped. `python -m tests.promtool` installs it, as root."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it has stubs of its own, which nothing else needs

ALERTS = Path(__file__).parents[1] / "workers" / "metrics" / "alerts.yaml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
}
"""Each alert's rule."""
MISSING = "promtool is missing: apt install prometheus, or run `python -m tests.promtool` as root"
SECONDS = 600

Scrape = Mapping[str, float]
"""The value of each series at one moment."""


def promtool() -> str | None:
    """Return where it is."""
    return shutil.which("promtool")


def check(what: str, text: str, directory: Path) -> str:
    """Let promtool check `metrics` or `rules`; returns what it complains about."""
    program = promtool()
    assert program is not None
    if what == "metrics":
        ran = subprocess.run([program, "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=60)
    else:
        (directory / "rules.yaml").write_text(text)
        ran = subprocess.run(
            [program, "check", "rules", "--lint-fatal", "rules.yaml"],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def fires(alert: str, scrapes: Sequence[tuple[Scrape, int]], directory: Path) -> bool:
    """Say whether an alert fires at the end of these scrapes, each of which stood for so many minutes."""
    return _is_true(f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > 0', scrapes, directory)


def firing(scrapes: Sequence[tuple[Scrape, int]], directory: Path) -> list[str]:
    """Return every alert that fires at the end of them."""
    return [name for name in RULES if fires(name, scrapes, directory)]


def _is_true(expression: str, scrapes: Sequence[tuple[Scrape, int]], directory: Path) -> bool:
    """Let promtool evaluate it: as a test that nothing comes of it, whose failure says that something does."""
    minutes = sum(length for _, length in scrapes)
    names = sorted({name for scrape, _ in scrapes for name in scrape})
    series = [{"series": name, "values": " ".join(_values(scrape.get(name), length) for scrape, length in scrapes)} for name in names]
    test = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [{"expr": expression, "eval_time": f"{minutes - 1}m", "exp_samples": []}],
            }
        ],
    }
    file = directory / "test.yaml"
    file.write_text(json.dumps(test))  # JSON is YAML
    program = promtool()
    assert program is not None
    ran = subprocess.run([program, "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=60)
    said = ran.stdout + ran.stderr
    if ran.returncode == 0:
        return False
    assert re.search(r"exp:\s*(?:nil|\[\]|\{\})?", said), said
    assert "got:" in said, said
    return True


def _values(value: float | None, minutes: int) -> str:
    """Return so many equal samples, one a minute, as promtool writes them; without a value the series ends."""
    return f"stale _x{minutes - 1}" if value is None else f"{value!r}+0x{minutes - 1}"


def install() -> list[str]:
    """Install it if it is missing; returns what is missing still."""
    if promtool() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        # RUNLEVEL: the package brings a service, which must not start here.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", "prometheus"]):
            subprocess.run(["apt-get", *command], check=False, env=environment, timeout=SECONDS)
    return [] if promtool() else [MISSING]


if __name__ == "__main__":
    sys.exit("\n".join(install()) or None)
