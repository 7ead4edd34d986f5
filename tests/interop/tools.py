"""The mail servers that ours is tried against: where they are, and how they get there.

    python -m tests.interop.tools

Postfix, with its smtp-sink, comes through apt-get, as root. OpenSMTPD can't be installed beside it, so its package is only unpacked, with
the libraries that it needs, into a folder of the user's cache that becomes the root of its processes. Nothing is started by installing,
and no configuration of the machine is touched. What cannot be had is named.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SECONDS = 600
SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
PROGRAMS = ("usr/sbin/smtpd", "usr/sbin/smtpctl", *(f"usr/libexec/opensmtpd/{name}" for name in ("mail.maildir", "lockspool", "encrypt")))
LIBRARY = re.compile(r"/\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Where the servers are; `None`: not there."""

    postfix: str | None
    sink: str | None
    opensmtpd: Path | None
    """A folder with an installation in it, to be copied: its root."""

    def missing(self) -> list[str]:
        """Say what is not there, a line each."""
        said = {
            "Postfix (Debian: postfix)": self.postfix,
            "smtp-sink (Debian: postfix)": self.sink,
            "OpenSMTPD (Debian's package opensmtpd, unpacked; needs root)": self.opensmtpd,
        }
        return [name for name, found in said.items() if found is None]


def find() -> Tools:
    """Look for the servers; installs nothing."""
    folder = opensmtpd_folder()
    return Tools(
        postfix=shutil.which("postfix", path=SEARCHED),
        sink=shutil.which("smtp-sink", path=SEARCHED),
        opensmtpd=folder if (folder / PROGRAMS[0]).exists() else None,
    )


def install() -> Tools:
    """Install what is missing and can be installed, and look again. Without root or apt-get nothing is done."""
    found = find()
    if os.geteuid() != 0 or not shutil.which("apt-get") or not found.missing():
        return found
    _run("apt-get", "update", "-qq")
    if found.postfix is None or found.sink is None:
        _run("apt-get", "install", "-qq", "-y", "--no-install-recommends", "postfix")
    if found.opensmtpd is None:
        _unpack_opensmtpd(opensmtpd_folder())
    return find()


def opensmtpd_folder() -> Path:
    """Return where OpenSMTPD is unpacked."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "portcullis" / "opensmtpd"


def _unpack_opensmtpd(folder: Path) -> None:
    """Unpack the package and put the libraries of its programs beside it, the machine's own where it has them."""
    packages = folder.with_name("opensmtpd-packages")
    packages.mkdir(parents=True, exist_ok=True)
    root = folder.with_name("opensmtpd-unpacking")
    shutil.rmtree(root, ignore_errors=True)
    _run("apt-get", "download", "-qq", "opensmtpd", "libevent-2.1-7", "libdb5.3", cwd=packages)
    for package in packages.glob("*.deb"):
        _run("dpkg", "-x", str(package), str(root))
    libraries = os.pathsep.join(str(path) for path in root.glob("usr/lib/*-linux-gnu*"))
    for program in (*(root / name for name in PROGRAMS), Path("/bin/sh")):
        shown = subprocess.run(
            ["ldd", str(program)], check=False, capture_output=True, text=True, env={"LD_LIBRARY_PATH": libraries, "PATH": os.defpath}
        )
        for library in LIBRARY.findall(shown.stdout):
            place = root / library.removeprefix(str(root)).lstrip("/")
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, place)
    (root / "bin").mkdir(exist_ok=True)
    shutil.copy("/bin/sh", root / "bin" / "sh")
    shutil.rmtree(folder, ignore_errors=True)
    root.rename(folder)


def _run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, check=False, cwd=cwd, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, timeout=SECONDS)


if __name__ == "__main__":
    for line in install().missing():
        sys.stderr.write(f"Not installed: {line}. Its tests are left out.\n")
