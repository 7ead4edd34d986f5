"""What the main app says about whoever stands before the door: who showed which first factor, whose account it is, where from."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from jobs.client import Id


class FirstMethod(StrEnum):
    """How the first factor was shown."""

    PASSWORD = "password"  # noqa: S105 -- the word, no password
    SSO = "sso"
    SESSION = "session"
    """A session of their own, long after its sign-in: good for settings, not for a recovery code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstFactor:
    """Says that this user has shown their first factor, just now and to you. Every function that counts asks for one.

    Make one only where a password was found right, an identity provider vouched, or a live session of theirs was found: attempts are
    counted against this user, and whoever could make you count without it could lock strangers out (OWASP ASVS 6.1.1).
    """

    user_id: Id
    method: FirstMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What is shown in the authenticator app, and when the account was last alive. Times are aware.

    `last_active_at` is the sign-in *before* the present one; `None`: there was none, or nobody knows. `address_proved_at` is when the
    present session, and no other, followed a link that was mailed to the account's address.
    """

    issuer: str
    label: str
    last_active_at: datetime | None
    address_proved_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a change came from, for the member's letter and the record. Any of it may be unknown, and any of it may be hostile."""

    address: str | None = None
    """The IP address."""
    device: str | None = field(default=None)
    """Such as "Firefox on Linux": what a person recognizes, not a user agent."""

    def to_json(self) -> dict[str, str]:
        """Return what is known, bounded."""
        known = {"address": self.address, "device": self.device}
        return {name: value.replace("\0", "")[:200] for name, value in known.items() if value}
