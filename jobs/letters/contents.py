"""What each letter's templates are given: one dataclass a letter, its fields exactly the variables of its three files.

A test compares the two. `None` means that the fact is not known and the letter has a sentence for that, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from jobs.domain.letters import LetterKind
from jobs.letters.colours import Palette
from jobs.letters.markup import Link, Mailbox, Name
from jobs.letters.occasion import Unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What every letter says, whatever its kind."""

    language: str
    direction: str
    """`ltr` or `rtl`."""
    product: Name
    logo: Name
    organization: Name
    organization_in_brief: Name
    """Short enough to leave the rest of the subject visible on a phone."""
    decided_by: Name | None
    when: str
    account: Mailbox
    name: Name | None
    support_url: Link | None
    support_address: Mailbox | None
    legal_line: Name | None
    colours: Palette
    dark: Palette

    def variables(self) -> Mapping[str, object]:
        """Return the fields as templates take them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedOut(Letter):
    """Your sessions were ended; three steps bring you back."""

    app_url: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected(Letter):
    """You already comply. No link that asks for anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleSignOn(Letter):
    """Nothing changes in how you sign in. No link that asks for anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exempt(Letter):
    """It applies to the organization, not to you, and why."""

    member_kind: Name | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted(Letter):
    """It is no longer required; keep it on anyway."""

    app_url: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Letter):
    """What became of everybody, for the administrator who switched."""

    run: int
    run_url: Link | None
    members: int
    verdicts: Mapping[str, int]
    """By every word of `Verdict`."""
    sessions_ended: int
    letters: Mapping[str, int]
    """By every final word of `LetterState`, and `waiting` for what is still to be sent."""
    last_session_ended_at: str | None
    unreachable: tuple[Unreachable, ...]
    """The reason in words of the letter's language."""
    unreachable_more: int
    some_suppressed: bool
    """Some of them have an address on the suppression list, which whoever operates the app can change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder(Letter):
    """It will be required from a date on; set it up before. `when` is that date."""

    app_url: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorLetter(Letter):
    """What happened to your second factor, and from where. No link at all: a forged one would look the same."""

    device: Name | None
    address: Name | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorAdded(FactorLetter):
    """A factor was set up, or replaced."""

    was_replaced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorRemoved(FactorLetter):
    """The factor was removed by its member, or blocked after too many wrong codes."""

    was_disabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryUsed(FactorLetter):
    """Somebody signed in with a recovery code."""

    codes_left: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorReset(FactorLetter):
    """An administrator took the factor away; `decided_by` is who."""


LETTERS: Mapping[LetterKind, type[Letter]] = {
    LetterKind.SIGNED_OUT: SignedOut,
    LetterKind.PROTECTED: Protected,
    LetterKind.SINGLE_SIGN_ON: SingleSignOn,
    LetterKind.EXEMPT: Exempt,
    LetterKind.REPORT: Report,
    LetterKind.LIFTED: Lifted,
    LetterKind.REMINDER: Reminder,
    LetterKind.FACTOR_ADDED: FactorAdded,
    LetterKind.FACTOR_REMOVED: FactorRemoved,
    LetterKind.RECOVERY_USED: RecoveryUsed,
    LetterKind.FACTOR_RESET: FactorReset,
}
