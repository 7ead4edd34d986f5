"""What the second factor answers. Each function returns one of a few of these; a `match` over them is the caller's flow.

`Refused` is one answer for many reasons, on purpose: wrong, used before, locked, disabled and unknown look alike to whoever typed. The
reason is in the log. Secrets stay out of every `repr`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from jobs.second_factor import qr


@dataclass(frozen=True, slots=True)
class Refused:
    """No. Show `advice` in the member's language; it gives nothing away."""

    advice: ClassVar[str] = (
        "That did not work. Wait for the next code in your authenticator app and try again; check that the clock of your phone is set "
        "automatically. After several wrong codes you have to wait for a while. You can use a recovery code instead."
    )


REFUSED = Refused()


@dataclass(frozen=True, slots=True)
class ProveAddress:
    """This account slept, or its factor was taken away by an admin: mail a link to its address first, then begin again."""

    advice: ClassVar[str] = "First confirm that this account is yours: follow the link that was sent to its e-mail address."


@dataclass(frozen=True, slots=True)
class NothingPending:
    """No factor was begun, or it waited too long, or too many codes were tried: begin again."""

    advice: ClassVar[str] = "This set-up is no longer valid. Begin it again and scan the new QR code."


@dataclass(frozen=True, slots=True, kw_only=True)
class StillRequired:
    """The factor stays: without it the member would not comply with these organizations. Nothing was changed."""

    organizations: tuple[object, ...]
    advice: ClassVar[str] = "Your organization requires two-factor authentication. You can replace it, but not remove it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A factor waits for its first code until `expires_at`. Show the QR code and the typed secret, once; keep neither."""

    secret: str = field(repr=False)
    """Base32, for typing; `grouped_secret` is easier on the eyes."""
    uri: str = field(repr=False)
    expires_at: datetime

    @property
    def grouped_secret(self) -> str:
        """The secret in groups of four."""
        return " ".join(self.secret[at : at + 4] for at in range(0, len(self.secret), 4))

    def qr_svg(self, title: str = "QR code for your authenticator app") -> str:
        """Return the QR code as an `<svg>` element, dark on white whatever the page's colours."""
        return qr.svg(self.uri, title)

    def qr_text(self) -> str:
        """Return the QR code in block characters, for a terminal."""
        return qr.text(self.uri)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodes:
    """New recovery codes, to be shown once: only their hashes are kept. Whatever codes there were before are worth nothing now."""

    codes: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The factor is bound, its confirming code is spent, other sessions were ended. Show the recovery codes, once."""

    factor_id: UUID
    recovery: RecoveryCodes
    has_replaced: bool
    sessions_ended: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The code was right and is spent: it works for nobody any more."""

    factor_id: UUID
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The recovery code was right and is spent, other sessions were ended, the member is told.

    `ticket` goes into the member's session on your side: for ten minutes it stands in for a code, to bind, renew or remove a factor.
    `must_bind_again`: the factor is disabled; lead the member to bind a new one.
    """

    codes_left: int
    ticket: str = field(repr=False)
    must_bind_again: bool
    sessions_ended: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """The factor is gone, with its recovery codes."""

    sessions_ended: int
