"""Postfix, OpenSMTPD and smtp-sink on loopback, each with a folder, a port and processes of its own, which end with the test."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop import tools
from workers.demo import tied
from workers.demo.embedded import LOOPBACK, free_port

SECONDS = 20
NOBODY = 65534
READER = 9603

POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file_prefixes = {folder}
maillog_file = {folder}/log
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.postfix.example
mydestination =
alias_maps =
mynetworks = 127.0.0.0/8
recipient_delimiter = +
virtual_mailbox_domains = postfix.example, mail.example.com
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = regexp:{folder}/mailboxes
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
relay_domains = late.example
transport_maps = inline:{{ {{ late.example = smtp:[127.0.0.1]:{onward} }} }}
smtpd_discard_ehlo_keywords = silent-discard, {discarded}
"""

POSTFIX_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

OPENSMTPD = """
table everybody {{ "@" = "reader" }}
smtp max-message-size {largest}
listen on 127.0.0.1 port {port} hostname mx.opensmtpd.example
action "keep" maildir "/home/reader/mail" virtual <everybody>
match from any for domain "opensmtpd.example" action "keep"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """One that listens. `mail`: folder of its Maildirs; `log`: what it says."""

    port: int
    mail: Path
    log: Path

    def letters(self, mailbox: str) -> list[bytes]:
        """Return what lies in a Maildir, read or not."""
        return [path.read_bytes() for path in (self.mail / mailbox / "new").glob("*")]


def needs(name: str) -> str:
    """Return where a server is, or leave the test out."""
    found = getattr(tools.find(), name)
    if found is None or os.geteuid() != 0:
        pytest.skip(f"{name} is not installed, or this is not root; `make interop` as root installs it")
    return str(found)


@contextmanager
def _open_folder() -> Iterator[Path]:
    """Make a folder that a server's own accounts may pass through."""
    with tempfile.TemporaryDirectory(prefix="portcullis-interop-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def postfix(*, discarded: str = "", onward: int = 1) -> Iterator[MailServer]:
    """Run Postfix: keeps mail to `m<number>@postfix.example` and `bounces@mail.example.com`, hands `late.example` on to a port of loopback.

    `discarded`: words of EHLO that it does not say.
    """
    program, port = needs("postfix"), free_port()
    with _open_folder() as folder:
        (folder / "queue").mkdir()
        for name, owner in (("data", "postfix"), ("mail", NOBODY)):
            (folder / name).mkdir()
            shutil.chown(folder / name, owner)
        (folder / "mailboxes").write_text("/^bounces(\\+[^@]*)?@mail\\.example\\.com$/ bounces/\n/^m[0-9]+@postfix\\.example$/ members/\n")
        (folder / "main.cf").write_text(POSTFIX_MAIN.format(folder=folder, onward=onward, discarded=discarded))
        (folder / "master.cf").write_text(POSTFIX_MASTER.format(port=port))
        process = tied.start([program, "-c", folder, "start-fg"], at_death=signal.SIGTERM, log=folder / "started")
        try:
            _until_it_listens(process, port, folder / "started")
            yield MailServer(port=port, mail=folder / "mail", log=folder / "log")
        finally:
            subprocess.run([program, "-c", folder, "stop"], check=False, capture_output=True, timeout=SECONDS)
            tied.stop(process, signal.SIGTERM)


@contextmanager
def opensmtpd(*, largest: str = "35M") -> Iterator[MailServer]:
    """Run OpenSMTPD in a root of its own: keeps mail to whoever at opensmtpd.example, and refuses every other domain."""
    unpacked, port = needs("opensmtpd"), free_port()
    with _open_folder() as folder:
        root = folder / "root"
        shutil.copytree(unpacked, root, symlinks=True)
        for name, mode in (
            ("dev", 0o755),
            ("run", 0o755),
            ("var/run", 0o755),
            ("var/spool/smtpd", 0o711),
            ("home/reader", 0o755),
            ("tmp", 0o1777),
        ):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name).chmod(mode)
        for name, minor in (("null", 3), ("urandom", 9)):
            os.mknod(root / "dev" / name, 0o20666, os.makedev(1, minor))
            (root / "dev" / name).chmod(0o666)
        accounts = {"root": 0, "opensmtpd": 9601, "opensmtpq": 9602, "reader": READER}
        homes = {"root": "/root", "reader": "/home/reader"}
        lines = [
            f"{name}:x:{number}:{number}::{homes.get(name, '/var/lib/opensmtpd/empty')}:/bin/sh\n" for name, number in accounts.items()
        ]
        (root / "etc/passwd").write_text("".join(lines))
        (root / "etc/group").write_text("".join(f"{name}:x:{number}:\n" for name, number in accounts.items()))
        os.chown(root / "home/reader", READER, READER)
        (root / "etc/smtpd.conf").write_text(OPENSMTPD.format(port=port, largest=largest))
        command: list[str | Path] = [
            shutil.which("chroot", path=tools.SEARCHED) or "chroot",
            root,
            "/usr/sbin/smtpd",
            "-d",
            "-f",
            "/etc/smtpd.conf",
        ]
        process = tied.start(command, at_death=signal.SIGTERM, log=folder / "log")
        try:
            _until_it_listens(process, port, folder / "log")
            yield MailServer(port=port, mail=root / "home/reader", log=folder / "log")
        finally:
            tied.stop(process, signal.SIGTERM)


@contextmanager
def sink(*options: str) -> Iterator[int]:
    """Run `smtp-sink` with these options; yields its port."""
    program, port = needs("sink"), free_port()
    with _open_folder() as folder:
        command = [program, "-u", "nobody", *options, f"{LOOPBACK}:{port}", "100"]
        process = tied.start(command, at_death=signal.SIGTERM, log=folder / "log")
        try:
            _until_it_listens(process, port, folder / "log")
            yield port
        finally:
            tied.stop(process, signal.SIGTERM)


def _until_it_listens(process: tied.Process, port: int, log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.05)
    said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
    raise AssertionError(f"nothing listens at {port}, {process.poll()}: {said}")
