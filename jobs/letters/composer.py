"""Compose one member's letter: choose the mould, fill it.

    occasion + language ─▶ contents ─▶ templates ─▶ mould (once, kept)
    addressee ─────────────────────────────────────▶ gaps ─▶ letter

The same inputs give the same bytes, always: a retry is the same letter, by its Message-ID, its Date and every byte of it.
"""

import re
from datetime import datetime
from email.utils import parseaddr
from functools import lru_cache
from urllib.parse import urlsplit

from markupsafe import escape

from jobs.domain.addresses import to_mailbox
from jobs.domain.letters import LetterKind
from jobs.domain.names import clean_name
from jobs.letters import headers
from jobs.letters.branding import Branding
from jobs.letters.drafting import LONGEST_NAME, House, draft
from jobs.letters.message_ids import MessageIds
from jobs.letters.mould import Gap, Mould, Piece
from jobs.letters.occasion import Addressee, Change, Composed, Occasion, Totals
from jobs.letters.quoted import quote_value
from jobs.letters.return_paths import ReturnPaths
from jobs.letters.templates import environment, render
from jobs.letters.voice import Voice, voice

_PLAIN = re.compile(r"(?!\.)[A-Za-z0-9@._ +-]{0,75}")
_ESCAPED = re.compile("[&<>\"']")

MOST_MOULDS = 256  # of some 15 KB each; an organization needs one for each kind and language


class Composer:
    """Writes the letters of one sender. Not tied to an event loop; never does I/O after its templates are loaded.

    `mail_from` is a mailbox with or without a name. `message_id_key` is the secret behind Message-IDs, `message_id_key_id` its public
    id: both of the run, so that a retry after a rotation repeats the id. `product_name` is what members call the app, by default
    the host of `app_url`. `run_url` is where the report leads, `{run_id}` in it replaced; without it the report names the run only.
    `bounce_address`: where reports of failed delivery go, each letter's to an address of its own; without it, to `mail_from`.

    Raises:
        ValueError: `mail_from` is no ASCII mailbox, `bounce_address` is unfit, or the key is.
    """

    def __init__(
        self,
        *,
        mail_from: str,
        app_url: str,
        message_id_key: bytes,
        message_id_key_id: str,
        product_name: str | None = None,
        run_url: str | None = None,
        branding: Branding | None = None,
        bounce_address: str | None = None,
    ) -> None:
        sender_name, self._sender = parseaddr(mail_from)
        _, at, domain = self._sender.rpartition("@")
        if not at or not domain or not self._sender.isascii():
            raise ValueError(f"{mail_from!r} is not a mailbox to send from, such as 'Example Security <security@example.com>'")
        self._from = headers.mailbox(sender_name, self._sender)
        self._return_paths = ReturnPaths.read(bounce_address) if bounce_address else None
        self._ids = MessageIds(key=message_id_key, key_id=message_id_key_id, domain=domain)
        branding = branding or Branding()
        product = product_name or branding.product_name or urlsplit(app_url).netloc
        self._house = House(product=product, app_url=app_url, run_url=run_url, branding=branding)
        self._kept = lru_cache(maxsize=MOST_MOULDS)(self._keep)

    def compose(
        self,
        kind: LetterKind,
        occasion: Occasion,
        addressee: Addressee,
        *,
        slot: str,
        dated: datetime,
        totals: Totals | None = None,
        change: Change | None = None,
    ) -> Composed:
        """Return the letter of `kind` to `addressee`. `dated` is aware and stays the same in a retry.

        `totals` are the report's, `change` that of a letter about the member's second factor.

        Raises:
            Unaddressable: Nothing can be mailed to this member; `reason` says why.
        """
        recipient = to_mailbox(addressee.address)
        name = _greeted_by(addressee.display_name)
        wishes = (addressee.locale, occasion.organization_locale, addressee.time_zone, occasion.organization_time_zone)
        speaking = voice(*wishes)
        member_kind = addressee.kind if kind is LetterKind.EXEMPT else None
        if totals is None and change is None:
            mould = self._kept(kind, occasion, speaking.language, bool(name), member_kind)
        else:
            mould = self._cast(kind, occasion, speaking, named=bool(name), totals=totals, change=change)
        reference = self._ids.reference(occasion.run_id, addressee.member_id, slot)
        content = mould.fill(
            (
                headers.mailbox(name, recipient),
                headers.date(dated),
                self._ids.message_id(reference),
                reference,
                _when(occasion.requested_at, *wishes),
                *_in_text_and_html(name),
                *_in_text_and_html(recipient),
            )
        )
        sender = self._return_paths and self._return_paths.sender(reference, occasion.run_id, addressee.member_id, slot)
        return Composed(sender=sender or self._sender, recipient=recipient, content=content)

    def _keep(self, kind: LetterKind, occasion: Occasion, language: str, named: bool, member_kind: str | None) -> Mould:  # noqa: FBT001 - a cache key
        return self._cast(kind, occasion, voice(language, None, None, None), named=named, member_kind=member_kind)

    def _cast(
        self,
        kind: LetterKind,
        occasion: Occasion,
        speaking: Voice,
        *,
        named: bool,
        member_kind: str | None = None,
        totals: Totals | None = None,
        change: Change | None = None,
    ) -> Mould:
        letter = draft(kind, occasion, speaking, self._house, named=named, member_kind=member_kind, totals=totals, change=change)
        rendered = render(environment(letter.language, self._house.branding.templates), kind, letter.variables())
        return Mould.cast(self._header_lines(kind, occasion.run_id, letter.language, rendered.subject), rendered.text, rendered.html)

    def _header_lines(self, kind: LetterKind, run_id: int, language: str, subject: str) -> list[Piece]:
        """The header in the order people read it. No `List-Unsubscribe`, no `Precedence`: this is no list and nobody can opt out."""
        return [
            b"From: %b\r\nTo: " % self._from,
            Gap.TO,
            b"\r\nSubject: %b\r\nDate: " % headers.unstructured(subject, used=len("Subject: ")),
            Gap.DATE,
            b"\r\nMessage-ID: ",
            Gap.MESSAGE_ID,
            b"\r\nContent-Language: %b\r\n" % language.encode("ascii"),
            b"Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\n",
            b"Feedback-ID: %b:%d:portcullis\r\nX-Entity-Ref-ID: " % (kind.encode("ascii"), run_id),
            Gap.REFERENCE,
            b"\r\n",
        ]


def _greeted_by(display_name: str | None) -> str:
    """A name fit for a greeting; none when all the app knows is an address: that is no name."""
    return "" if display_name is None or "@" in display_name else clean_name(display_name, LONGEST_NAME)


def _in_text_and_html(value: str) -> tuple[bytes, bytes]:
    if value.isascii() and _PLAIN.fullmatch(value):  # the same in quoted-printable and in HTML
        encoded = value.encode("ascii")
        return encoded, encoded
    encoded = quote_value(value)
    return encoded, quote_value(escape(value)) if _ESCAPED.search(value) else encoded


@lru_cache(maxsize=4096)
def _when(moment: datetime, *wishes: str | None) -> bytes:
    return quote_value(voice(*wishes).when(moment))
