"""Turn whatever the main app holds as an e-mail address into a mailbox that may stand in an SMTP command, or say why not.

Addresses are hostile text: a line break in one would be a second SMTP command. Everything that is not a dot-atom before the `@`
and a DNS name behind it is refused, with a reason that the ledger stores and the report names. No DNS: the relay knows better.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import assert_never

from email_validator import EmailNotValidError, validate_email

LONGEST_LOCAL_PART = 64  # octets, RFC 5321 4.5.3.1.1
LONGEST_ADDRESS = 254  # octets, RFC 5321 4.5.3.1.3 less the angle brackets

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


class AddressFault(StrEnum):
    """Why nothing can be mailed there. The word is stored with the suppressed letter."""

    NO_ADDRESS = "no_address"
    MALFORMED = "malformed_address"
    UNSUPPORTED = "unsupported_address"
    """Well formed, but its local part is not ASCII: it would need SMTPUTF8 (RFC 6531) all the way to the recipient."""


class Unaddressable(ValueError):  # noqa: N818 - named by what happens next, as every error here
    """No letter can go to this member; `reason` is a word of `AddressFault`. The address itself is not repeated: it may be hostile."""

    def __init__(self, reason: AddressFault) -> None:
        self.reason = reason
        super().__init__(f"{reason}: {_advice(reason)}")


def to_mailbox(address: str | None) -> str:
    """Return `address` as ASCII `local@domain`: the domain in lower case and IDNA-encoded, the local part as it was given.

    Raises:
        Unaddressable: No address, not an address, or one that needs SMTPUTF8.
    """
    if not address or address.isspace():
        raise Unaddressable(AddressFault.NO_ADDRESS)
    local, _, domain = address.rpartition("@")
    if len(local) > LONGEST_LOCAL_PART or not _DOT_ATOM.fullmatch(local):
        return _checked(address)
    ascii_domain = _ascii_domain(domain) if len(domain) < LONGEST_ADDRESS else None  # the cache keeps no giants
    if ascii_domain is None or len(local) + 1 + len(ascii_domain) > LONGEST_ADDRESS:
        raise Unaddressable(AddressFault.MALFORMED)
    return f"{local}@{ascii_domain}"


def _checked(address: str) -> str:
    """The long way, 40 µs: what the quick pattern does not know is almost always refused, and the reason is worth the time."""
    if len(address) > LONGEST_ADDRESS:  # spares the validator ten thousand letters
        raise Unaddressable(AddressFault.MALFORMED)
    try:
        validated = validate_email(address, strict=True, check_deliverability=False)
    except (EmailNotValidError, ValueError):
        raise Unaddressable(AddressFault.MALFORMED) from None
    if validated.ascii_email is None:
        raise Unaddressable(AddressFault.UNSUPPORTED)
    return validated.ascii_email


@lru_cache(maxsize=8192)
def _ascii_domain(domain: str) -> str | None:
    """Validate a domain once for everybody in it; `None`: not a domain that mail can go to."""
    try:
        return validate_email(f"a@{domain}", strict=True, check_deliverability=False).ascii_domain
    except (EmailNotValidError, ValueError):
        return None


def _advice(reason: AddressFault) -> str:
    match reason:
        case AddressFault.NO_ADDRESS:
            return "the main app holds no e-mail address for this member; add one there"
        case AddressFault.MALFORMED:
            return "the main app holds something that is not an e-mail address; correct it there"
        case AddressFault.UNSUPPORTED:
            return "the part before the @ is not ASCII, which many mail servers refuse; ask the member for another address"
        case _:
            assert_never(reason)
