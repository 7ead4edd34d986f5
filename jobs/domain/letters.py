"""Which letter a verdict calls for, and the states a letter can be in."""

from enum import StrEnum
from typing import assert_never

from jobs.domain.verdicts import Verdict


class LetterKind(StrEnum):
    """All letters; each is a folder of `email_templates`. The last four are about a member's own second factor, not about a run."""

    SIGNED_OUT = "signed_out"
    PROTECTED = "protected"
    SINGLE_SIGN_ON = "single_sign_on"
    EXEMPT = "exempt"
    REPORT = "report"
    LIFTED = "lifted"
    REMINDER = "reminder"
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    RECOVERY_USED = "recovery_used"
    FACTOR_RESET = "factor_reset"


class LetterState(StrEnum):
    """Where a letter is. Every letter is in exactly one state; the last five are final."""

    OWED = "owed"
    SENDING = "sending"
    DEFERRED = "deferred"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"


def letter_for(verdict: Verdict) -> LetterKind | None:
    """Return the letter that tells a member of this verdict what the requirement means for them; `None`: no letter."""
    match verdict:
        case Verdict.UNPROTECTED:
            return LetterKind.SIGNED_OUT
        case Verdict.PROTECTED:
            return LetterKind.PROTECTED
        case Verdict.SSO:
            return LetterKind.SINGLE_SIGN_ON
        case Verdict.EXEMPT:
            return LetterKind.EXEMPT
        case Verdict.INACTIVE:
            return None
        case _:
            assert_never(verdict)
