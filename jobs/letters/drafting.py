"""Gather what a letter's templates say from what the caller knows. Everything hostile is cleaned here, once a mould.

A member's own facts are not here but marked: the templates are rendered with a mark in place of a name, an address and a local time,
and the mould leaves a gap there.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, assert_never

from jobs.domain.letters import LetterKind, LetterState
from jobs.domain.names import clean_name
from jobs.domain.verdicts import Verdict
from jobs.letters import contents, reasons
from jobs.letters.branding import Branding
from jobs.letters.catalogues import direction, translations
from jobs.letters.links import safe_https
from jobs.letters.markup import Link, Mailbox, Name
from jobs.letters.mould import ACCOUNT, NAME, WHEN
from jobs.letters.occasion import Change, Occasion, Totals
from jobs.letters.voice import Voice

LONGEST_NAME = 64
LONGEST_ORGANIZATION = 60
LONGEST_IN_SUBJECT = 24  # leaves the 45 characters of the subject itself in sight


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Who writes, the same in every letter: where members sign in, where the report points, and the looks."""

    product: str
    app_url: str
    run_url: str | None
    """`{run_id}` in it is replaced."""
    branding: Branding


def draft(
    kind: LetterKind,
    occasion: Occasion,
    voice: Voice,
    house: House,
    *,
    named: bool,
    member_kind: str | None = None,
    totals: Totals | None = None,
    change: Change | None = None,
) -> contents.Letter:
    """Return a letter's contents with marks in place of the member's facts. `named`: the greeting has a name in it.

    Raises:
        ValueError: A report without totals.
    """
    shared = _shared(occasion, voice, house, named=named)
    letter: contents.Letter
    match kind:
        case LetterKind.SIGNED_OUT:
            letter = contents.SignedOut(**shared, app_url=Link(house.app_url))
        case LetterKind.PROTECTED:
            letter = contents.Protected(**shared)
        case LetterKind.SINGLE_SIGN_ON:
            letter = contents.SingleSignOn(**shared)
        case LetterKind.EXEMPT:
            letter = contents.Exempt(**shared, member_kind=_name(member_kind, LONGEST_NAME))
        case LetterKind.LIFTED:
            letter = contents.Lifted(**shared, app_url=Link(house.app_url))
        case LetterKind.REMINDER:
            letter = contents.Reminder(**shared, app_url=Link(house.app_url))
        case LetterKind.FACTOR_ADDED | LetterKind.FACTOR_REMOVED | LetterKind.RECOVERY_USED | LetterKind.FACTOR_RESET:
            letter = _changed(kind, shared, change or Change())
        case LetterKind.REPORT:
            if totals is None:
                raise ValueError("a report needs the run's totals")
            letter = contents.Report(**shared, **_counted(occasion, voice, house, totals))
        case _:
            assert_never(kind)
    return letter


def _shared(occasion: Occasion, voice: Voice, house: House, *, named: bool) -> dict[str, Any]:
    support_url = safe_https(occasion.support_url)
    support_address = house.branding.support_address
    organization = occasion.organization_name
    if not clean_name(organization, LONGEST_ORGANIZATION):
        organization = translations(voice.language).gettext("Organization %(id)s") % {"id": occasion.organization_id}
    return {
        "language": voice.language,
        "direction": direction(voice.language),
        "product": Name(house.product),
        "logo": Name(house.branding.logo_text or house.product),
        "organization": Name(clean_name(organization, LONGEST_ORGANIZATION)),
        "organization_in_brief": Name(clean_name(organization, LONGEST_IN_SUBJECT)),
        "decided_by": _name(occasion.decided_by, LONGEST_NAME),
        "when": WHEN,
        "account": Mailbox(ACCOUNT),
        "name": Name(NAME) if named else None,
        "support_url": Link(support_url) if support_url else None,
        "support_address": Mailbox(support_address) if support_address else None,
        "legal_line": _name(house.branding.legal_line, 300),
        "colours": house.branding.light,
        "dark": house.branding.dark,
    }


def _changed(kind: LetterKind, shared: dict[str, Any], change: Change) -> contents.FactorLetter:
    shared |= {"device": _name(change.device, LONGEST_NAME), "address": _ip(change.address)}
    match kind:
        case LetterKind.FACTOR_ADDED:
            return contents.FactorAdded(**shared, was_replaced=change.was_replaced)
        case LetterKind.FACTOR_REMOVED:
            return contents.FactorRemoved(**shared, was_disabled=change.was_disabled)
        case LetterKind.RECOVERY_USED:
            return contents.RecoveryUsed(**shared, codes_left=change.codes_left)
        case _:
            return contents.FactorReset(**shared)


def _ip(address: str | None) -> Name | None:
    """Return an IP address as it is written, `None` for anything else: only the app's proxy knows who wrote that."""
    try:
        return Name(ip_address(address)) if address and "%" not in address else None  # a zone (RFC 4007) may be any text
    except ValueError:
        return None


def _counted(occasion: Occasion, voice: Voice, house: House, totals: Totals) -> dict[str, Any]:
    states = {state.value: totals.letters.get(state, 0) for state in LetterState}
    gettext = translations(voice.language).gettext
    return {
        "run": occasion.run_id,
        "run_url": Link(house.run_url.replace("{run_id}", str(occasion.run_id))) if house.run_url else None,
        "members": totals.members,
        "verdicts": {verdict.value: totals.verdicts.get(verdict, 0) for verdict in Verdict},
        "sessions_ended": totals.sessions_ended,
        "letters": {**states, "waiting": states[LetterState.OWED] + states[LetterState.SENDING]},
        "last_session_ended_at": voice.when(totals.last_session_ended_at) if totals.last_session_ended_at else None,
        "unreachable": tuple(reasons.in_words(member, gettext) for member in totals.unreachable),
        "unreachable_more": totals.unreachable_more,
        "some_suppressed": any(member.reason == reasons.SUPPRESSED for member in totals.unreachable),
    }


def _name(text: str | None, limit: int) -> Name | None:
    cleaned = clean_name(text, limit)
    return Name(cleaned) if cleaned else None
