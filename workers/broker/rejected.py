"""Why a message is not run, and what is kept of it.

A rejected message is handed to the quarantine exactly once, then forgotten by Redis. It never stops the others that came with it.
"""

from dataclasses import dataclass
from enum import StrEnum

from dramatiq import DecodeError


class Reason(StrEnum):
    """What was wrong with a message, in the order in which it is checked. The word is stored, so it must keep its meaning."""

    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    """Not in our format at all: garbage, another encoder, a pickle."""
    UNKNOWN_VERSION = "unknown_version"
    UNKNOWN_KEY = "unknown_key"
    """Signed under a key id that the ring does not hold."""
    BAD_SIGNATURE = "bad_signature"
    UNREADABLE = "unreadable"
    """Rightly signed, but no message: a fault of ours, not of an attacker."""
    WRONG_QUEUE = "wrong_queue"
    """A valid message, moved to a queue that it was not written for."""
    UNKNOWN_ACTOR = "unknown_actor"
    FORBIDDEN_ACTOR = "forbidden_actor"
    """The actor exists, but not on the allow-list or not on this queue."""
    FORBIDDEN_OPTIONS = "forbidden_options"
    """Carries a dramatiq option; some of those start another actor (`on_success`, `pipe_target`)."""


class RejectedError(DecodeError):
    """A message that must not run. `reason` says why; the bytes are not repeated in the text."""

    def __init__(self, reason: Reason, data: bytes) -> None:
        self.reason = reason
        super().__init__(f"message of {len(data)} bytes rejected: {reason}", data, None)  # type: ignore[no-untyped-call]


class UnknownVersionError(RejectedError):
    """The message's format is another one than ours: written by a newer, or a much older, Portcullis."""

    def __init__(self, data: bytes) -> None:
        super().__init__(Reason.UNKNOWN_VERSION, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One rejected message.

    `digest` is the SHA-256 of the whole message in hexadecimal; of an oversized one, which is never transferred whole, it is the
    SHA-256 of its length and its SHA-1. The same bytes always have the same digest. `payload` holds the first bytes, at most 1,024;
    they were written by whoever wrote the message, so treat them as hostile.
    """

    queue: str
    reason: Reason
    digest: str
    payload: bytes
