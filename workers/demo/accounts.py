"""What an account is like, and what the requirement must do to it, worked out by hand.

These expectations are the demo's own. They share no code with Portcullis, so that a report can be checked against them.
"""

from dataclasses import dataclass
from enum import StrEnum


class Letter(StrEnum):
    """What becomes of the letter to somebody, on a day on which nothing breaks."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    SUPPRESSED = "suppressed"


class Shape(StrEnum):
    """The ways in which somebody can sign in. A started factor was never confirmed; a mixed account has a password and SSO."""

    PASSWORD = "password"  # noqa: S105 - a word, not a secret
    STARTED_FACTOR = "started factor"
    MIXED = "mixed"
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    PROTECTED = "protected"
    MIXED_PROTECTED = "mixed protected"
    SSO = "sso"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in that lasts. `bound`: good for the home organization only, not for the whole account."""

    started_with: str | None
    bound: bool = False
    restricted: bool = False
    over: bool = False

    @property
    def must_end(self) -> bool:
        """Whether the requirement ends it, when its owner is unprotected."""
        return self.started_with != "sso" and not self.restricted and not self.over

    @property
    def is_listed(self) -> bool:
        """Whether it is live and good for more than enrolment."""
        return not self.restricted and not self.over


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The facts of a shape, the verdict that they must lead to, and the sessions that such people have, taken in turn."""

    verdict: str
    password: bool = False
    sso: bool = False
    factor: str | None = None
    """`None`, `started` or `confirmed`."""
    active: bool = True
    sessions: tuple[Session, ...]
    besides: tuple[Session, ...] = ()
    """One of these now and then, on top: neither listed nor ended."""


_PASSWORD = Session(started_with="password")
_BOUND = Session(started_with="password", bound=True)
_REMEMBERED = Session(started_with="remember_me")
_TOKEN = Session(started_with="token", bound=True)
_UNKNOWN = Session(started_with=None)
_BY_SSO = Session(started_with="sso")
_BY_SSO_BOUND = Session(started_with="sso", bound=True)
_OVER = Session(started_with="password", over=True)
_ENROLLING = Session(started_with="password", restricted=True)

TRAITS = {
    Shape.PASSWORD: Traits(
        verdict="unprotected", password=True, sessions=(_PASSWORD, _REMEMBERED, _BOUND, _PASSWORD, _UNKNOWN), besides=(_OVER,)
    ),
    Shape.STARTED_FACTOR: Traits(
        verdict="unprotected", password=True, factor="started", sessions=(_PASSWORD, _BOUND, _TOKEN), besides=(_ENROLLING,)
    ),
    Shape.MIXED: Traits(verdict="unprotected", password=True, sso=True, sessions=(_BY_SSO, _PASSWORD, _BY_SSO_BOUND, _REMEMBERED)),
    Shape.TOKEN: Traits(verdict="unprotected", sessions=(_TOKEN,)),
    Shape.PROTECTED: Traits(
        verdict="protected", password=True, factor="confirmed", sessions=(_PASSWORD, _REMEMBERED, _BOUND), besides=(_OVER,)
    ),
    Shape.MIXED_PROTECTED: Traits(verdict="protected", password=True, sso=True, factor="confirmed", sessions=(_BY_SSO, _PASSWORD)),
    Shape.SSO: Traits(verdict="sso", sso=True, sessions=(_BY_SSO, _BY_SSO_BOUND)),
    Shape.INACTIVE: Traits(verdict="inactive", password=True, active=False, sessions=(_PASSWORD,)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody, before the main app has given them an id."""

    shape: Shape
    name: str | None
    email: str | None
    letter: Letter
    kind: str = "employee"
    locale: str | None = "en-GB"
    time_zone: str | None = "Europe/London"
    sessions: tuple[Session, ...] = ()

    @property
    def traits(self) -> Traits:
        """The facts of this account's shape."""
        return TRAITS[self.shape]
