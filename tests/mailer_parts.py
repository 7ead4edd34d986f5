"""What the mailer's tests share: an envelope, a recorder that keeps a list, a mailer for the scripted relay."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jobs.ports import Envelope, Receipt, Scope
from tests.relay import Relay as ScriptedRelay
from workers.mailer.fleet import Fleet
from workers.mailer.pool import PooledMailer
from workers.mailer.terms import Terms
from workers.settings import Relay

SENDER = "bounce@portcullis.test"


def an_envelope(recipient: str = "ada@example.com", *, content: bytes = b"", reference: object = None) -> Envelope:
    body = content or f"From: {SENDER}\r\nTo: {recipient}\r\nMessage-ID: <{recipient}>\r\n\r\nHello\r\n".encode()
    return Envelope(reference=reference or recipient, sender=SENDER, recipient=recipient, content=body)


def some_envelopes(count: int, domain: str = "example.com") -> list[Envelope]:
    return [an_envelope(f"m{number}@{domain}") for number in range(count)]


@dataclass
class ListRecorder:
    """The `Recorder` port over a list. `limit`: receipts that may wait for `commit`, as the real one's bound."""

    limit: int | None = None
    receipts: list[tuple[Envelope, Receipt]] = field(default_factory=list)
    uncommitted: int = 0

    def __post_init__(self) -> None:
        self._committed = asyncio.Event()

    async def room(self) -> None:
        while self.limit is not None and self.uncommitted >= self.limit:
            self._committed.clear()
            await self._committed.wait()

    def record(self, envelope: Envelope, receipt: Receipt) -> None:
        self.receipts.append((envelope, receipt))
        self.uncommitted += 1

    def commit(self) -> None:
        self.uncommitted = 0
        self._committed.set()

    def scopes(self) -> Counter[Scope]:
        return Counter(receipt.scope for _, receipt in self.receipts)

    def of(self, recipient: str) -> Receipt:
        """The one receipt of a recipient."""
        (receipt,) = (receipt for envelope, receipt in self.receipts if envelope.recipient == recipient)
        return receipt


def a_mailer(relay: ScriptedRelay, *, scheme: str = "smtp", terms: Terms | None = None, **given: Any) -> PooledMailer:
    url = f"{scheme}://127.0.0.1:{relay.port}"
    return PooledMailer(Relay.parse(url), hostname="client.test", terms=terms, **{"connections_per_minute": 0, **given})


async def send(mailer: PooledMailer | Fleet, envelopes: list[Envelope], *, seconds: float = 10) -> ListRecorder:
    """Send one wave and check what every wave must keep: exactly one receipt for each envelope."""
    recorder = ListRecorder()
    await mailer.send(envelopes, recorder, seconds=seconds)
    assert Counter(id(envelope) for envelope, _ in recorder.receipts) == Counter(map(id, envelopes))
    return recorder


async def until(condition: Callable[[], object], *, seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- what is waited for happens in another process or protocol
            await asyncio.sleep(0.005)
