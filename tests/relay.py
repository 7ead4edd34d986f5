"""A scripted SMTP relay on 127.0.0.1: says what its rules say, drops, stalls and delays, and counts what it accepted.

In a test: `async with Relay(rules=[...]) as relay`. As a process of its own, which outlives the test's other victims:

    python -m tests.relay --port 2525 --log accepted.jsonl --rules rules.jsonl

Every accepted letter is a line of the log before its answer leaves, so the log is what the world saw. SIGHUP reads the rules again,
SIGTERM ends.
"""

import argparse
import asyncio
import json
import random
import re
import signal
import ssl
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import KW_ONLY, asdict, dataclass, field
from enum import StrEnum
from fnmatch import fnmatch
from pathlib import Path
from typing import Self, TextIO

LARGEST_READ = 64 * 1024 * 1024
FINAL_DOT = b".\r\n"
MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
KIND = re.compile(rb"^feedback-id:\s*([^:\s]+)", re.IGNORECASE | re.MULTILINE)


class Stage(StrEnum):
    """Where in a session a rule applies."""

    CONNECT = "connect"
    HELO = "helo"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"
    """Between the 354 and the content: to be met by a client that is already writing."""
    DOT = "dot"


class Act(StrEnum):
    """What a rule does."""

    REPLY = "reply"
    """Say `reply`; a 421 closes the connection after it."""
    DROP = "drop"
    """Close without a word; at `dot` the letter is not accepted."""
    ACCEPT_AND_DROP = "accept_and_drop"
    """At `dot`: accept the letter, then close without a word."""
    HANG = "hang"
    """Say nothing more and keep the connection."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """Applies at `stage` to recipients (known from RCPT on) that match the pattern, `times` times, with a chance, after so many letters."""

    stage: Stage
    act: Act = Act.REPLY
    reply: str = "450 4.3.2 try later"
    recipient: str = "*"
    times: int | None = None
    chance: float = 1
    after: int = 0
    """Letters accepted on this connection before the rule begins to apply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One letter that this relay has taken the responsibility for. `at` is Unix time; `kind` is what its Feedback-ID begins with."""

    recipient: str
    message_id: str
    at: float
    connection: int
    kind: str | None = None


@dataclass
class Relay:
    """The relay; `port` is known once it has started. Everything it saw is in `accepted`, `contents`, `commands`, `connections`."""

    rules: list[Rule] = field(default_factory=list)
    _: KW_ONLY
    port: int = 0
    pipelining: bool = True
    size: int | None = 10_000_000
    eight_bit: bool = True
    extensions: tuple[str, ...] = ()
    auth: bool = False
    """Offer AUTH PLAIN, and take any password that no rule refuses."""
    delay_seconds: float = 0
    """Each reply comes this much late, as on a long way: replies to a group of commands come together."""
    byte_seconds: float = 0
    """Each byte of a reply takes this long."""
    greylist_seconds: float = 0
    """A recipient is refused for now until this long after the first try."""
    data_without_recipients: bool = False
    """Answer 354 to DATA though no recipient was accepted, as RFC 2920 3.1 warns."""
    tls: ssl.SSLContext | None = None
    starttls: bool = False
    """With `tls`: offer STARTTLS instead of speaking TLS at once."""
    log: Path | None = None
    keep: bool = True
    """Keep letters and commands in memory; off for long runs, where the log has them."""
    seed: int = 0

    letters: int = 0
    """Accepted so far, one for each recipient."""
    accepted: list[Accepted] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    commands: list[tuple[int, str]] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_open: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._used: Counter[int] = Counter()
        self._first_seen: dict[str, float] = {}
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()
        self._file: TextIO | None = None

    async def __aenter__(self) -> Self:
        self._file = self.log.open("a", encoding="utf-8") if self.log else None
        tls = None if self.starttls else self.tls
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=LARGEST_READ, ssl=tls, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
            for session in self._sessions:
                session.cancel()
            await asyncio.gather(*self._sessions, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None
        if self._file is not None:
            self._file.close()

    def recipients(self) -> Counter[str]:
        """Count the accepted letters of each recipient."""
        return Counter(letter.recipient for letter in self.accepted)

    def verbs(self) -> list[str]:
        """Return the first words of all commands, in order of arrival."""
        return [verb_of(line) for _, line in self.commands]

    def rule_for(self, stage: Stage, recipient: str, letters: int) -> Rule | None:
        """Return the first rule that applies, and count its use."""
        for rule in self.rules:
            if rule.stage is not stage or letters < rule.after or not fnmatch(recipient, rule.recipient):
                continue
            if rule.times is not None and self._used[id(rule)] >= rule.times:
                continue
            if rule.chance >= 1 or self._random.random() < rule.chance:
                self._used[id(rule)] += 1
                return rule
        return None

    def is_greylisted(self, recipient: str) -> bool:
        """Say whether it is too early for this recipient."""
        now = time.monotonic()
        return bool(self.greylist_seconds) and now < self._first_seen.setdefault(recipient, now) + self.greylist_seconds

    def accept(self, recipient: str, content: bytes, connection: int) -> None:
        """Take a letter; from here on it counts, whatever its sender hears."""
        found, kind = MESSAGE_ID.search(content), KIND.search(content)
        letter = Accepted(
            recipient=recipient,
            message_id=found[1].decode() if found else "",
            at=time.time(),
            connection=connection,
            kind=kind[1].decode() if kind else None,
        )
        self.letters += 1
        if self.keep:
            self.accepted.append(letter)
            self.contents.append(content)
        if self._file is not None:
            self._file.write(json.dumps(asdict(letter)) + "\n")
            self._file.flush()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            await Session(self, reader, writer, self.connections).run()
        except (Gone, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self.open_now -= 1
            self._sessions.discard(task)
            if not writer.is_closing():
                writer.transport.abort()


class Gone(Exception):  # noqa: N818 -- it ends a session, nothing went wrong
    """The session is over."""


class Session:
    """One connection, from greeting to its end."""

    def __init__(self, relay: Relay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self._relay = relay
        self._reader = reader
        self._writer = writer
        self._number = number
        self._letters = 0
        self._in_tls = relay.tls is not None and not relay.starttls
        self._sender: str | None = None
        self._recipients: list[str] = []

    async def run(self) -> None:
        await self._answer(Stage.CONNECT, "220 relay.test ESMTP")
        while line := await self._reader.readline():
            command = line.decode("utf-8", "replace").rstrip("\r\n")
            if self._relay.keep:
                self._relay.commands.append((self._number, command))
            await self._obey(command)

    async def _obey(self, command: str) -> None:  # noqa: C901 -- one case a command
        match verb_of(command):
            case "EHLO":
                await self._answer(Stage.HELO, "\n".join(["250 relay.test", *(f"250 {name}" for name in self._extensions())]))
            case "HELO":
                await self._answer(Stage.HELO, "250 relay.test")
            case "STARTTLS" if self._relay.starttls:
                await self._start_tls()
            case "AUTH" if self._relay.auth:
                await self._answer(Stage.AUTH, "235 2.7.0 authenticated")
            case "MAIL":
                await self._mail(_path(command))
            case "RCPT":
                await self._rcpt(_path(command))
            case "DATA":
                await self._data()
            case "RSET":
                self._forget()
                await self._say("250 2.0.0 reset")
            case "NOOP":
                await self._say("250 2.0.0 nothing done")
            case "QUIT":
                await self._say("221 2.0.0 bye")
                await self._close()
            case _:
                await self._say("502 5.5.2 command not recognized")

    def _extensions(self) -> Iterable[str]:
        relay = self._relay
        yield "ENHANCEDSTATUSCODES"
        if relay.pipelining:
            yield "PIPELINING"
        if relay.size is not None:
            yield f"SIZE {relay.size}"
        if relay.eight_bit:
            yield "8BITMIME"
        if relay.starttls and not self._in_tls:
            yield "STARTTLS"
        if relay.auth:
            yield "AUTH PLAIN"
        yield from relay.extensions

    async def _start_tls(self) -> None:
        assert self._relay.tls is not None
        if await self._answer(Stage.TLS, "220 2.0.0 ready"):
            await self._writer.start_tls(self._relay.tls)
            self._in_tls = True

    async def _mail(self, sender: str) -> None:
        if self._sender is not None:
            await self._say("503 5.5.1 nested MAIL command")
        elif await self._answer(Stage.MAIL, "250 2.1.0 sender ok"):
            self._sender = sender

    async def _rcpt(self, recipient: str) -> None:
        if self._sender is None:
            await self._say("503 5.5.1 need MAIL command")
        elif self._relay.is_greylisted(recipient):
            await self._say("450 4.2.0 greylisted, come back later")
        elif await self._answer(Stage.RCPT, "250 2.1.5 recipient ok", recipient):
            self._recipients.append(recipient)

    async def _data(self) -> None:
        if not self._recipients and not self._relay.data_without_recipients:
            await self._say("554 5.5.1 no valid recipients")
            return
        recipient = self._recipients[0] if self._recipients else ""
        if not await self._answer(Stage.DATA, "354 end with a dot", recipient):
            return
        if rule := self._relay.rule_for(Stage.CONTENT, recipient, self._letters):
            await self._act(rule)
        await self._dot(recipient, await self._content())

    async def _content(self) -> bytes:
        content = b""
        while not (content == FINAL_DOT or content.endswith(b"\r\n" + FINAL_DOT)):
            content += await self._reader.readuntil(FINAL_DOT)
        content = content.removesuffix(FINAL_DOT)
        return (b"\r\n" + content).replace(b"\r\n..", b"\r\n.")[2:]

    async def _dot(self, recipient: str, content: bytes) -> None:
        if not self._recipients:
            self._forget()
            await self._say("554 5.5.1 no valid recipients")
            return
        rule = self._relay.rule_for(Stage.DOT, recipient, self._letters)
        recipients = tuple(self._recipients)
        self._forget()
        if rule is None or rule.act is Act.ACCEPT_AND_DROP:
            for each in recipients:
                self._relay.accept(each, content, self._number)
            self._letters += 1
        if rule is None:
            await self._say(f"250 2.0.0 Ok: queued as {self._number:X}-{self._letters}")
        else:
            await self._act(rule)

    def _forget(self) -> None:
        self._sender = None
        self._recipients = []

    async def _answer(self, stage: Stage, usual: str, recipient: str = "") -> bool:
        """Say the usual, or what a rule wants; says whether the client may go on."""
        rule = self._relay.rule_for(stage, recipient, self._letters)
        if rule is None:
            await self._say(usual)
            return True
        await self._act(rule)
        return rule.reply[:1] in "23"

    async def _act(self, rule: Rule) -> None:
        match rule.act:
            case Act.REPLY:
                await self._say(rule.reply)
                if rule.reply.startswith("421"):
                    await self._close()
            case Act.DROP | Act.ACCEPT_AND_DROP:
                await self._close()
            case Act.HANG:
                await self._reader.read(-1)
                raise Gone

    async def _say(self, text: str) -> None:
        """Write a reply; all lines but the last get the hyphen of RFC 5321 4.2.1, unless CRLF between them makes several replies."""
        lines = [text] if "\r\n" in text else text.split("\n")
        whole = "".join(f"{line[:3]}-{line[4:]}\r\n" for line in lines[:-1]) + lines[-1] + "\r\n"
        data = whole.encode()
        if self._relay.byte_seconds:
            for byte in data:
                self._writer.write(bytes([byte]))
                await asyncio.sleep(self._relay.byte_seconds)
        elif self._relay.delay_seconds:
            asyncio.get_running_loop().call_later(self._relay.delay_seconds, self._writer.write, data)
        else:
            self._writer.write(data)

    async def _close(self) -> None:
        await asyncio.sleep(self._relay.delay_seconds)
        await self._writer.drain()
        self._writer.close()
        raise Gone


def verb_of(command: str) -> str:
    """Return a command's first word."""
    return re.split("[: ]", command, maxsplit=1)[0].upper()


def _path(command: str) -> str:
    return command.partition("<")[2].partition(">")[0]


def read_rules(path: Path) -> list[Rule]:
    """Read rules, a JSON object a line; stages and acts by their words."""
    rules = []
    for line in path.read_text(encoding="utf-8").splitlines():
        given = json.loads(line)
        rules.append(Rule(**{**given, "stage": Stage(given["stage"]), "act": Act(given.get("act", Act.REPLY))}))
    return rules


async def _serve_until_told(relay: Relay, rules: Path | None) -> None:
    def read_again() -> None:
        if rules is not None:
            relay.rules = read_rules(rules)

    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, read_again)
    read_again()
    async with relay:
        print(f"listening on 127.0.0.1:{relay.port}", flush=True)  # noqa: T201 -- whoever started it waits for this line
        await stopped.wait()


def main() -> None:
    """Serve as a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.relay", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, help="accepted letters, one JSON object a line, appended")
    parser.add_argument("--rules", type=Path, help="rules, one JSON object a line; read again on SIGHUP")
    parser.add_argument("--no-pipelining", action="store_true")
    parser.add_argument("--size", type=int, default=10_000_000)
    parser.add_argument("--delay", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--byte", type=float, default=0, metavar="SECONDS", help="each byte of a reply takes this long")
    parser.add_argument("--auth", action="store_true", help="offer AUTH PLAIN")
    parser.add_argument("--greylist", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    relay = Relay(
        port=given.port,
        log=given.log,
        pipelining=not given.no_pipelining,
        size=given.size,
        delay_seconds=given.delay,
        byte_seconds=given.byte,
        auth=given.auth,
        greylist_seconds=given.greylist,
        seed=given.seed,
        keep=False,
    )
    asyncio.run(_serve_until_told(relay, given.rules))


if __name__ == "__main__":
    main()
