"""What the stages need from the outside, as protocols: a mailer, a limiter, a recorder.

`workers` provides the real ones; a fake in the tests passes the same contract test. Nothing here imports `workers`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from jobs.domain.outcomes import Scope

__all__ = ["Envelope", "Grant", "Limiter", "Mailer", "Receipt", "Recorder", "Scope", "SmtpStage"]


class SmtpStage(StrEnum):
    """How far a transaction had come when the answer, or its absence, decided it."""

    CONNECT = "connect"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


class Envelope(NamedTuple):
    """One letter, ready to leave.

    `reference` is handed back untouched with the receipt. `sender` and `recipient` are ASCII (IDNA applied), without angle
    brackets, CR or LF. `content` is a whole RFC 5322 message with CRLF line ends, 7-bit clean, ending in CRLF, not yet dot-stuffed.
    """

    reference: object
    sender: str
    recipient: str
    content: bytes


class Receipt(NamedTuple):
    """What became of one letter: scope, stage reached, and the relay's words (`text` capped at 200 characters, one line)."""

    scope: Scope
    stage: SmtpStage
    code: int | None = None
    enhanced: str | None = None
    text: str = ""
    relay_id: str | None = None
    """The queue id from the 250 reply, where one could be read."""


class Recorder(Protocol):
    """Takes receipts. The number taken and not yet committed is bounded, which bounds the doubles after a crash."""

    async def room(self) -> None:
        """Return when one more letter may begin; waits while too many receipts are not yet committed."""

    def record(self, envelope: Envelope, receipt: Receipt) -> None:
        """Take one receipt; called exactly once for each envelope given to `send`, in any order."""


class Mailer(Protocol):
    """Sends letters over pooled connections, to one relay or several."""

    @property
    def retry_in_seconds(self) -> float:
        """How long every relay should be left alone; 0: one is believed to be well."""

    def turn(self) -> list[str]:
        """Return the relays (host:port) that may be tried now, the one whose turn it is first."""

    async def send(self, envelopes: Sequence[Envelope], recorder: Recorder, *, seconds: float, relay: str | None = None) -> None:
        """Send every envelope, through `relay` if it is given, or give it back as `UNSENT`; returns when each one has its receipt.

        No letter *begins* later than `seconds` after the call; one that has begun is bounded by the stage timeouts. Never raises
        for what a relay does: that is a receipt. Cancelling the call closes the connections in use.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """How many letters may leave now, per recipient domain, and how long until more may (seconds; 0: nothing was held back).

    `domains_only`: what is missing waits for its recipient domains alone, so letters to others may leave meanwhile.
    """

    letters: Mapping[str, int]
    wait_seconds: float
    domains_only: bool = False


class Limiter(Protocol):
    """Keeps the sending limits across processes."""

    @property
    def unlimited(self) -> bool:
        """True when every limit is off, so that nobody needs to be asked."""

    async def take(self, organization: str, demand: Mapping[str, int], *, relay: str | None = None) -> Grant:
        """Take as many tokens as there are, at most `demand` per recipient domain (letters). Tokens taken are spent.

        `relay`: where the letters will be handed over, by default the first one.
        """
