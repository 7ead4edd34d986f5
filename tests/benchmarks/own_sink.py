"""A small SMTP server that takes every letter and keeps none: counts letters and octets, and keeps one letter as a sample if asked.

    python -m tests.benchmarks.own_sink [--sample FILE]

The bench warms up against it, to learn how large a letter is, and falls back on it where Postfix's `smtp-sink` is not installed.
Prints its port as JSON when it listens, and its counts when SIGTERM ends it.
"""

import argparse
import asyncio
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvloop

END = b"\r\n.\r\n"
SAMPLED = b"Feedback-ID: signed_out"


@dataclass(slots=True)
class Counts:
    """What was taken. `sample` waits for the first letter to somebody who was signed out."""

    sample: Path | None
    letters: int = 0
    octets: int = 0

    def take(self, letter: bytes) -> None:
        """Count one letter."""
        self.letters += 1
        self.octets += len(letter)
        if self.sample is not None and SAMPLED in letter:
            self.sample.write_bytes(letter.replace(b"\r\n..", b"\r\n."))
            self.sample = None


class Conversation(asyncio.Protocol):
    """One connection. Commands may come pipelined (RFC 2920); the answers to what came together leave together."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._held = b""
        self._in_letter = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._held += data
        answers: list[bytes] = []
        while self._take_letter(answers) if self._in_letter else self._take_command(answers):
            pass
        self._transport.write(b"".join(answers))

    def _take_letter(self, answers: list[bytes]) -> bool:
        end = self._held.find(END)
        if end < 0:
            return False
        self._counts.take(self._held[: end + 2])
        self._held = self._held[end + len(END) :]
        self._in_letter = False
        answers.append(b"250 2.0.0 Ok\r\n")
        return True

    def _take_command(self, answers: list[bytes]) -> bool:
        end = self._held.find(b"\n")
        if end < 0:
            return False
        verb, self._held = self._held[:4].upper(), self._held[end + 1 :]
        match verb:
            case b"EHLO":
                answers.append(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            case b"DATA":
                self._in_letter = True
                answers.append(b"354 end with a dot\r\n")
            case b"QUIT":
                answers.append(b"221 2.0.0 bye\r\n")
                asyncio.get_running_loop().call_soon(self._transport.close)
            case _:
                answers.append(b"250 2.0.0 Ok\r\n")
        return True


async def serve(counts: Counts) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(lambda: Conversation(counts), "127.0.0.1", 0, backlog=512)
    async with server:
        _say(port=server.sockets[0].getsockname()[1])
        await stopped.wait()


def _say(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.own_sink", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", type=Path, help="where one letter is kept")
    counts = Counts(parser.parse_args().sample)
    uvloop.run(serve(counts))
    _say(letters=counts.letters, octets=counts.octets)


if __name__ == "__main__":
    main()
