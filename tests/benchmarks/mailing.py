"""The mailer by itself, in this process on uvloop, with letters of the bench's size: against aiosmtplib, against a limit, against delay.

relay without PIPELINING    letters/s, and aiosmtplib's own `sendmail` on as many reused connections, one after the other
a limit of 500/s            letters in the busiest second, and how much of the limit was used, by two mailers that share it
every reply 20 ms late      letters/s of 16 connections; one round trip a letter is 800/s
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import aiosmtplib
import redis.asyncio

from jobs.ports import Envelope, Receipt, Scope
from tests.benchmarks.composing import measure_composing
from tests.benchmarks.ground import Ground, a_valkey
from tests.benchmarks.sink import SMTP_SINK, postfix_sink
from tests.benchmarks.system import BenchError
from workers.demo.embedded import LOOPBACK
from workers.mailer import PooledMailer, RedisLimiter
from workers.mailer.limits import Limits
from workers.mailer.terms import Terms
from workers.settings import Relay

CONNECTIONS = 16
LETTERS = 12_000
WARM_UP = 1_000
LIMIT = 500
LIMIT_SECONDS = 8.0
DELAY = 0.02
DELAYED = 4_000
SENDER = "bounce@portcullis.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """What one round came to: letters a second, but for `busiest` (letters in the busiest second), `used` (a share) and `fill` (µs)."""

    unpipelined: float | None
    aiosmtplib: float | None
    busiest: int
    used: float
    delayed: float
    fill: float


@dataclass
class _Counting:
    """The `Recorder` of letters that are only counted; `at` is when each was accepted."""

    at: list[float] = field(default_factory=list)

    async def room(self) -> None:
        """Return at once."""

    def record(self, _envelope: Envelope, receipt: Receipt) -> None:
        if receipt.scope is not Scope.ACCEPTED:
            raise BenchError(f"a letter was not accepted: {receipt}")
        self.at.append(time.monotonic())


async def measure_mailing(ground: Ground) -> Mailing:
    """Measure everything once; some twenty seconds."""
    octets = ground.octets_a_letter
    unpipelined = aio = None
    if SMTP_SINK is not None:
        with postfix_sink(ground.folder, "-p") as sink:
            unpipelined = await _unpipelined(sink.port, octets)
            aio = await _aiosmtplib(sink.port, octets)
    busiest, used = await _limited(ground, octets)
    with _late_relay() as port:
        delayed = await _delayed(port, octets)
    return Mailing(unpipelined=unpipelined, aiosmtplib=aio, busiest=busiest, used=used, delayed=delayed, fill=measure_composing().fill)


async def _unpipelined(port: int, octets: int) -> float:
    async with _a_mailer(port) as mailer:
        await mailer.send(_letters(WARM_UP, octets), _Counting(), seconds=60)
        return await _rate(mailer, _letters(LETTERS, octets))


async def _aiosmtplib(port: int, octets: int) -> float:
    letters = iter(_letters(LETTERS, octets))
    clients = [aiosmtplib.SMTP(hostname=LOOPBACK, port=port, use_tls=False, start_tls=False) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(client.connect() for client in clients))

    async def send(client: aiosmtplib.SMTP) -> None:
        for letter in letters:
            await client.sendmail(letter.sender, [letter.recipient], letter.content)

    begin = time.monotonic()
    await asyncio.gather(*map(send, clients))
    seconds = time.monotonic() - begin
    await asyncio.gather(*(client.quit() for client in clients))
    return LETTERS / seconds


async def _limited(ground: Ground, octets: int) -> tuple[int, float]:
    counting = _Counting()
    letter = _letters(1, octets)[0]
    with a_valkey() as url, postfix_sink(ground.folder) if SMTP_SINK else _late_relay(0) as sink:
        async with redis.asyncio.Redis.from_url(url) as client, _a_mailer(sink if isinstance(sink, int) else sink.port) as mailer:
            end = time.monotonic() + LIMIT_SECONDS

            async def send() -> None:
                limiter = RedisLimiter(client, relay="bench", limits=Limits(relay_rate=LIMIT))
                while time.monotonic() < end:
                    grant = await limiter.take("1", {"a.example": 10_000})
                    await mailer.send([letter] * sum(grant.letters.values()), counting, seconds=60)
                    await asyncio.sleep(max(0, min(grant.wait_seconds, end - time.monotonic())))

            begin = time.monotonic()
            await asyncio.gather(send(), send())
    allowed = LIMIT * (LIMIT_SECONDS + 1)  # the burst is a second's worth
    used = sum(moment < begin + LIMIT_SECONDS for moment in counting.at) / allowed
    return _busiest(counting.at), used


def _busiest(moments: list[float]) -> int:
    moments = sorted(moments)
    first = most = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


async def _delayed(port: int, octets: int) -> float:
    async with _a_mailer(port) as mailer:
        await mailer.send(_letters(WARM_UP, octets), _Counting(), seconds=60)  # until it has all its connections
        return await _rate(mailer, _letters(DELAYED, octets))


async def _rate(mailer: PooledMailer, letters: list[Envelope]) -> float:
    begin = time.monotonic()
    await mailer.send(letters, _Counting(), seconds=60)
    return len(letters) / (time.monotonic() - begin)


@asynccontextmanager
async def _a_mailer(port: int) -> AsyncIterator[PooledMailer]:
    relay = Relay.parse(f"smtp://{LOOPBACK}:{port}")
    terms = Terms(letters=0, lifetime_seconds=3600)
    mailer = PooledMailer(relay, hostname="bench.test", connections=CONNECTIONS, connections_per_minute=0, terms=terms)
    try:
        yield mailer
    finally:
        await mailer.aclose()


@contextmanager
def _late_relay(delay: float = DELAY) -> Iterator[int]:
    """Run the tests' scripted relay, whose replies come late, in a process of its own."""
    command = [sys.executable, "-m", "tests.relay", "--port", "0", "--delay", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()


def _letters(count: int, octets: int) -> list[Envelope]:
    head = f"From: {SENDER}\r\nTo: ada@example.com\r\nSubject: bench\r\n\r\n".encode()
    line = b"x" * 70 + b"\r\n"
    content = head + line * max(1, (octets - len(head)) // len(line))
    return [Envelope(reference=None, sender=SENDER, recipient=f"m{number}@example.com", content=content) for number in range(count)]
