"""An occasion, a member and a report to show letters with: for the gallery, a test letter, and the tests.

The names are invented, the domains reserved for examples (RFC 2606).
"""

from datetime import UTC, datetime

from jobs.domain.letters import LetterKind
from jobs.letters.composer import Composer
from jobs.letters.occasion import Addressee, Change, Composed, Occasion, Totals, Unreachable

DATED = datetime(2025, 6, 19, 12, 6, 30, tzinfo=UTC)

OCCASION = Occasion(
    run_id=42,
    organization_id="7",
    organization_name="Northwind Traders",
    organization_locale="en",
    organization_time_zone="Europe/Berlin",
    support_url="https://help.northwind.example/sign-in",
    decided_by="Grace Hopper",
    requested_at=datetime(2025, 6, 19, 12, 5, tzinfo=UTC),
)

ADDRESSEE = Addressee(member_id="1001", address="anna.smith@northwind.example", display_name="Anna Smith", kind="contractor")

TOTALS = Totals(
    members=1_204,
    verdicts={"unprotected": 702, "protected": 391, "sso": 96, "exempt": 11, "inactive": 4},
    sessions_ended=1_833,
    letters={"accepted": 1_190, "refused": 1, "deferred": 3, "suppressed": 10},
    unreachable=(
        Unreachable(who="lee.jordan@northwind.example", reason="refused"),
        Unreachable(who="member 1077", reason="no_address"),
        Unreachable(who="jane.doe(at)northwind", reason="malformed_address"),
        Unreachable(who="kim.adler@northwind.example", reason="address_suppressed"),
    ),
    unreachable_more=7,
    last_session_ended_at=datetime(2025, 6, 19, 12, 5, 4, tzinfo=UTC),
)


CHANGE = Change(address="203.0.113.7", device="Firefox on Linux", codes_left=9)

CHANGES = frozenset({LetterKind.FACTOR_ADDED, LetterKind.FACTOR_REMOVED, LetterKind.RECOVERY_USED, LetterKind.FACTOR_RESET})


def change_for(kind: LetterKind, *, sparse: bool = False) -> Change | None:
    """Return the sample change for a letter about a second factor and nothing for any other; `sparse`: unknown, and the rarer case."""
    if kind not in CHANGES:
        return None
    return Change(was_replaced=True, was_disabled=True) if sparse else CHANGE


def totals_for(kind: LetterKind) -> Totals | None:
    """Return the sample totals for a report and nothing for any other letter, as `Composer.compose` wants it."""
    return TOTALS if kind is LetterKind.REPORT else None


def write_sample(
    composer: Composer, kind: LetterKind, language: str, *, address: str | None = None, sparse: bool = False, dated: datetime = DATED
) -> Composed:
    """Return the sample letter of a kind in a language, to the sample member or to `address`; `sparse`: without what may be missing."""
    occasion = Occasion(run_id=OCCASION.run_id, organization_id=OCCASION.organization_id, requested_at=OCCASION.requested_at)
    addressee = Addressee(member_id=ADDRESSEE.member_id, address=address or ADDRESSEE.address, locale=language)
    if not sparse:
        occasion, addressee = OCCASION, ADDRESSEE._replace(locale=language, address=addressee.address)
    return composer.compose(
        kind, occasion, addressee, slot="notice", dated=dated, totals=totals_for(kind), change=change_for(kind, sparse=sparse)
    )
