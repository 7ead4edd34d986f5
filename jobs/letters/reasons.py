"""Say in words why a member could not be reached. The report's reader knows people, not SMTP."""

from collections.abc import Callable, Mapping

from jobs.domain.addresses import AddressFault, Unaddressable, to_mailbox
from jobs.domain.letters import LetterState
from jobs.domain.names import clean_name
from jobs.letters.markup import Name
from jobs.letters.occasion import Unreachable


def _marked(phrase: str) -> str:
    """Mark a phrase for the catalogues; it is translated where it is used."""
    return phrase


SUPPRESSED = "address_suppressed"
"""The ledger's word for an address on the suppression list."""

_PHRASES: Mapping[str, str] = {
    AddressFault.NO_ADDRESS: _marked("no email address"),
    AddressFault.MALFORMED: _marked("not a valid email address"),
    AddressFault.UNSUPPORTED: _marked("an email address that most mail servers do not take"),
    LetterState.REFUSED: _marked("refused by the recipient's mail server"),
    LetterState.DEFERRED: _marked("put off by the recipient's mail server"),
    LetterState.UNCERTAIN: _marked("sent, but never confirmed"),
    "discarded": _marked("not sent"),
    "inactive": _marked("inactive"),
    SUPPRESSED: _marked("not written to, because it refused mail before"),
    "bounced": _marked("came back as undeliverable"),
}

LONGEST = 120  # characters: an address, or what stands in its place


def in_words(unreachable: Unreachable, gettext: Callable[[str], str]) -> Unreachable:
    """Return the same member fit to be shown: an address as it is, anything else cleaned, and the reason as a phrase."""
    return Unreachable(who=Name(_who(unreachable.who)), reason=_why(unreachable.reason, gettext))


def _who(who: str) -> str:
    try:
        return to_mailbox(who)
    except Unaddressable:
        return clean_name(who, LONGEST)


def _why(reason: str, gettext: Callable[[str], str]) -> str:
    phrase = _PHRASES.get(reason.partition(":")[0])  # behind a colon are the other server's own words
    # Without a phrase it is the ledger's own word, such as one of a suppression list that ops keep.
    return gettext(phrase) if phrase else clean_name(reason.replace("_", " "), LONGEST)
