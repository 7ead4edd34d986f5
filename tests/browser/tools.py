"""What the browser tests need besides Python packages: Debian's Chromium, and axe-core from npm in exactly the locked version.

`python -m tests.browser.tools` (`make browser-test`) installs what is missing: Chromium through apt-get, as root; axe-core into `var/`,
in a folder that is named after the lock.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

LOCKED = Path(__file__).with_name("npm")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VAR = Path(__file__).parents[2] / "var"
SECONDS = 600


def chromium() -> str | None:
    """Return where Chromium is."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def axe() -> Path | None:
    """Return where axe-core is, a script to be put into a page."""
    script = _folder() / "node_modules" / "axe-core" / "axe.min.js"
    return script if script.exists() else None


def install() -> list[str]:
    """Install what is missing and can be installed; returns what is missing still, in words that say what to do."""
    if chromium() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", *command], check=False, env=environment, timeout=SECONDS)
    if axe() is None and shutil.which("npm"):
        _folder().mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(LOCKED / name, _folder())
        subprocess.run(["npm", "ci", "--silent"], cwd=_folder(), check=False, timeout=SECONDS)
    needed = {
        "Chromium is missing: apt install chromium, or run this as root": chromium(),
        "axe-core is missing: install npm (Debian: npm) and run this again": axe(),
    }
    return [what for what, found in needed.items() if found is None]


def _folder() -> Path:
    digest = hashlib.sha256((LOCKED / "package-lock.json").read_bytes()).hexdigest()[:12]
    return VAR / f"browser-tools-{digest}"


if __name__ == "__main__":
    sys.exit("\n".join(install()) or None)
