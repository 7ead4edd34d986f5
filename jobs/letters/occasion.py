"""What a letter is told: the occasion all letters of a run share, whom one goes to, and what the report counts.

These are plain facts as the main app and the ledger hold them. Any of them may be missing, malformed or hostile: making them fit to
be read is the composer's work, not the caller's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Why a run's letters are written. Hashable; one object per run, handed to every call, is the quickest."""

    run_id: int
    organization_id: str
    organization_name: str | None = None
    organization_locale: str | None = None
    organization_time_zone: str | None = None
    support_url: str | None = None
    """Where the organization helps its members; shown only when it is a plain https address."""
    decided_by: str | None = None
    """Display name of the administrator who switched."""
    requested_at: datetime
    """When the decision was committed; aware."""


class Addressee(NamedTuple):
    """The member one letter goes to, as `directory.member` has them when the letter is claimed."""

    member_id: str
    address: str | None
    display_name: str | None = None
    locale: str | None = None
    time_zone: str | None = None
    kind: str | None = None
    """The app's own word for the kind of account; only the `exempt` letter shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """A member who could not be written to: their address, or their id without one, and the ledger's reason."""

    who: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a run came to, for its report. Words that a mapping lacks count as 0."""

    members: int
    verdicts: Mapping[str, int] = field(default_factory=dict)
    sessions_ended: int
    letters: Mapping[str, int] = field(default_factory=dict)
    unreachable: tuple[Unreachable, ...] = ()
    """As many as the caller wants named: a hundred keep the letter well below the size at which mail programs cut."""
    unreachable_more: int = 0
    """How many there are beyond those named."""
    last_session_ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happened to a member's second factor, and from where; any of it may be unknown, and hostile."""

    address: str | None = None
    device: str | None = None
    codes_left: int | None = None
    """Recovery codes, after one was used."""
    was_replaced: bool = False
    """There was a factor before the one that was added."""
    was_disabled: bool = False
    """The factor was not removed, but blocked after too many wrong codes."""


class Composed(NamedTuple):
    """A finished letter. `sender` and `recipient` are bare ASCII mailboxes; `content` is what `jobs.ports.Envelope` asks for."""

    sender: str
    recipient: str
    content: bytes
