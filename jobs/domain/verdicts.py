"""What the requirement means for one member, as one word.

The same table is `portcullis.verdict` in SQL, which is what preview, gate, enforce and the letters use. This mirror exists so
that Python code and tests can ask the question without a database; a property test holds the two together.
"""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How the requirement treats a member. The ledger stores the word, the report counts it."""

    UNPROTECTED = "unprotected"
    PROTECTED = "protected"
    SSO = "sso"
    EXEMPT = "exempt"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The facts of `directory.member` that decide. `None` means that the main app does not know, and fails closed."""

    is_active: bool | None = None
    has_password: bool | None = None
    has_sso: bool | None = None
    has_second_factor: bool | None = None
    kind: str | None = None


def judge(standing: Standing, exempt_kinds: frozenset[str] = frozenset()) -> Verdict:
    """Return the first verdict that fits. A member with both a password and SSO is a password user: the password is a way round."""
    if standing.is_active is False:
        return Verdict.INACTIVE
    if standing.has_password is False and standing.has_sso is True:
        return Verdict.SSO
    if standing.has_second_factor is True:
        return Verdict.PROTECTED
    if standing.kind is not None and standing.kind in exempt_kinds:
        return Verdict.EXEMPT
    return Verdict.UNPROTECTED


COMPLIANT = frozenset({Verdict.PROTECTED, Verdict.SSO})
"""Verdicts of whoever may switch the requirement on: nobody locks themselves out."""
