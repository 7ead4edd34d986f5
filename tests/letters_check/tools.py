"""The tools that letters are judged with: where they are, and how they get there.

Debian's come through apt-get, as root; npm's in exactly the versions of `tools/package-lock.json`, into a folder of the user's cache that
is named after the lock, so that another checkout finds them and another lock gets others. What cannot be installed is named.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "tools"
OLDEST_NODE = (20, 19)
DEBIAN = {"spamassassin": "spamassassin", "chromium": "chromium", "node": "nodejs", "npm": "npm"}
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 600


class ToolFailedError(Exception):
    """A tool ended with an error: no verdict about any letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Where the tools are; `None`: not there, or too old."""

    spamassassin: str | None
    chromium: str | None
    node: str | None
    packages: Path | None
    """The folder with `node_modules`."""

    def missing(self) -> list[str]:
        """Say what is not there, a line each."""
        said = {
            "SpamAssassin 4 (Debian: spamassassin)": self.spamassassin,
            "Chromium (Debian: chromium)": self.chromium,
            f"Node.js {'.'.join(map(str, OLDEST_NODE))} or newer (Debian: nodejs)": self.node,
            "the npm packages of tests/letters_check/tools/package-lock.json (they need npm)": self.packages,
        }
        return [name for name, found in said.items() if found is None]

    def run_node(self, script: str, *arguments: str) -> Any:
        """Run one of `tools/*.mjs` beside the packages and return the JSON that it prints."""
        if self.node is None or self.packages is None:
            raise ToolFailedError("Node.js or its packages are missing")
        # From standard input a script belongs to the current folder, so that it finds the packages there and need not lie there.
        command = [self.node, "--input-type=module", "-", *arguments]
        ran = subprocess.run(
            command,
            input=(HERE / script).read_text("utf-8"),
            cwd=self.packages,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        if ran.returncode != 0:
            raise ToolFailedError(f"{script} failed: {ran.stderr.strip()[-2000:]}")
        return json.loads(ran.stdout)


def find() -> Tools:
    """Look for the tools; installs nothing."""
    node = shutil.which("node")
    folder = package_folder()
    return Tools(
        spamassassin=_if(shutil.which("spamassassin"), r"SpamAssassin version 4\."),
        chromium=next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None),
        node=node if node and _version(node) >= OLDEST_NODE else None,
        packages=folder if (folder / ".installed").exists() else None,
    )


def install() -> Tools:
    """Install what is missing and can be installed, and look again."""
    _install_from_debian([package for program, package in DEBIAN.items() if not _is_there(program)])
    found = find()
    if found.packages is None and found.node is not None and shutil.which("npm"):
        _install_from_npm(package_folder())
    return find()


def package_folder() -> Path:
    """Return where the packages of today's lock belong."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:12]
    return cache / "portcullis" / f"letters-check-{digest}"


def _is_there(program: str) -> bool:
    return any(map(shutil.which, CHROMIUM_NAMES if program == "chromium" else (program,)))


def _install_from_debian(packages: Sequence[str]) -> None:
    """Without root or apt-get nothing is done; what is missing then is said by `Tools.missing`."""
    if not packages or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment, timeout=SECONDS)
    for package in packages:  # one by one: one that cannot be had must not take the others with it
        subprocess.run(
            ["apt-get", "install", "-qq", "-y", "--no-install-recommends", package], check=False, env=environment, timeout=SECONDS
        )


def _install_from_npm(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HERE / name, folder)
    if subprocess.run(["npm", "ci", "--silent"], cwd=folder, check=False, timeout=SECONDS).returncode == 0:
        (folder / ".installed").touch()


def _version(node: str) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=30).stdout
    return tuple(int(number) for number in re.findall(r"\d+", said)[:2])


def _if(program: str | None, version: str) -> str | None:
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    return program if re.search(version, said) else None
