"""A mail server for the demo: takes every letter into a Maildir, and knows that some people are gone.

A process of its own (`python -m workers.demo.receiver --maildir DIR`), real SMTP by aiosmtpd with PIPELINING, on loopback only. An address
whose local part begins with `gone.` or `unknown.` is refused as a real server refuses it; nothing is deferred. The port is printed
when it listens, the counts as JSON when SIGTERM ends it.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import uvloop
from aiosmtpd.smtp import SMTP, Envelope, Session

from workers.demo.quick_smtp import QuickSMTP

REFUSED_LOCAL_PARTS = ("gone.", "unknown.")

HOST = "127.0.0.1"


class Maildir:
    """A Maildir that letters are put into: written under `tmp`, then renamed into `new`, so that nobody ever reads half of one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = count(1)
        for part in ("tmp", "new", "cur"):
            (directory / part).mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes) -> str:
        """Store one letter and return its name."""
        name = f"{int(time.time())}.P{os.getpid()}Q{next(self._numbers)}.demo"
        half = self._directory / "tmp" / name
        half.write_bytes(content)
        half.rename(self._directory / "new" / name)
        return name


class Receiver:
    """What aiosmtpd asks for each command; its answers are SMTP replies."""

    def __init__(self, maildir: Maildir) -> None:
        self.counts: Counter[str] = Counter(accepted=0, refused=0)
        self._maildir = maildir

    async def handle_EHLO(  # noqa: N802 - aiosmtpd finds it by this name
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer PIPELINING (RFC 2920) and enhanced codes (RFC 2034): aiosmtpd reads from a stream and takes commands as they come."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", "250-ENHANCEDSTATUSCODES", responses[-1]]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd finds it by this name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Refuse who has left."""
        if address.lower().startswith(REFUSED_LOCAL_PARTS):
            self.counts["refused"] += 1
            return f"550 5.1.1 <{address}>: Recipient address rejected: User unknown"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        """Keep the letter, with its envelope in front."""
        trace = f"Return-Path: <{envelope.mail_from}>\nDelivered-To: {', '.join(envelope.rcpt_tos)}\n"
        assert isinstance(envelope.content, bytes)  # noqa: S101 - decode_data is off
        name = self._maildir.put(trace.encode() + envelope.content.replace(b"\r\n", b"\n"))
        self.counts["accepted"] += 1
        return f"250 2.0.0 Ok: queued as {name}"


async def receive(maildir: Path, port: int = 0) -> Counter[str]:
    """Serve until SIGTERM or SIGINT and return how many recipients were accepted and refused."""
    receiver = Receiver(Maildir(maildir))
    loop = asyncio.get_running_loop()
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)

    def protocol() -> SMTP:
        return QuickSMTP(receiver, hostname="mail.demo.example", ident="ESMTP", loop=loop)

    server = await loop.create_server(protocol, HOST, port, backlog=512)
    async with server:
        announce(listening=server.sockets[0].getsockname()[1])
        await asked_to_stop.wait()
    return receiver.counts


def announce(**facts: Any) -> None:
    """Print one line of JSON for whoever started us."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the receiver from a command line."""
    parser = argparse.ArgumentParser(
        prog="python -m workers.demo.receiver", description="A mail server that takes every letter into a Maildir."
    )
    parser.add_argument("--maildir", type=Path, required=True, help="where letters are put")
    parser.add_argument("--port", type=int, default=0, help="loopback port to listen on; 0: any free one, which is printed")
    given = parser.parse_args(arguments)
    announce(**uvloop.run(receive(given.maildir, given.port)))


if __name__ == "__main__":
    main()
