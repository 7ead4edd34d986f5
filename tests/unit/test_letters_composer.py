"""One letter: the same inputs give the same bytes; different members get their own facts; a bad address is a reason, not a crash."""

import hashlib
import hmac
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.domain.addresses import AddressFault
from jobs.domain.letters import LetterKind
from jobs.letters import Addressee, Composer, Occasion, Totals, Unaddressable
from jobs.letters.links import safe_https
from jobs.letters.samples import ADDRESSEE, DATED, OCCASION, TOTALS, totals_for

KEY = b"k" * 32


def a_composer(*, key_id: str = "k1", key: bytes = KEY) -> Composer:
    return Composer(
        mail_from="Northwind Security <security@northwind.example>",
        app_url="https://app.northwind.example",
        message_id_key=key,
        message_id_key_id=key_id,
    )


def written(
    kind: LetterKind = LetterKind.SIGNED_OUT,
    occasion: Occasion = OCCASION,
    addressee: Addressee = ADDRESSEE,
    *,
    composer: Composer | None = None,
    slot: str = "notice",
    dated: datetime = DATED,
) -> bytes:
    return (composer or a_composer()).compose(kind, occasion, addressee, slot=slot, dated=dated, totals=totals_for(kind)).content


def message_id(content: bytes) -> bytes:
    [found] = re.findall(rb"\r\nMessage-ID: (<[^\r]+>)\r\n", content)
    return bytes(found)


@pytest.mark.parametrize("kind", LetterKind)
def test_a_retry_is_the_same_bytes_in_any_process_at_any_time(kind: LetterKind) -> None:
    busy = a_composer()
    for number in range(3):
        written(kind, addressee=ADDRESSEE._replace(member_id=str(number)), composer=busy)
    elsewhere = DATED.astimezone(timezone(timedelta(hours=9)))
    assert written(kind, composer=busy) == written(kind) == written(kind, dated=elsewhere)


def test_a_message_id_is_the_hmac_of_run_slot_and_member_under_the_key_it_names() -> None:
    digest = hmac.new(KEY, b"42\0notice\x001001", "sha256").hexdigest()[:32]
    assert message_id(written()) == f"<k1.{digest}@northwind.example>".encode()
    long_key = b"l" * 100
    assert hmac.new(long_key, b"42\0notice\x001001", "sha256").hexdigest()[:32].encode() in message_id(
        written(composer=a_composer(key=long_key))
    )


def test_run_member_slot_and_key_each_change_the_message_id_and_the_kind_does_not() -> None:
    ids = [
        message_id(content)
        for content in (
            written(),
            written(slot="report"),
            written(occasion=replace(OCCASION, run_id=43)),
            written(addressee=ADDRESSEE._replace(member_id="1002")),
            written(composer=a_composer(key_id="k2", key=b"x" * 32)),
        )
    ]
    assert len(set(ids)) == len(ids)
    assert message_id(written(LetterKind.PROTECTED)) == ids[0]


def test_members_get_their_own_name_address_date_and_time_from_one_mould() -> None:
    composer = a_composer()
    one = written(composer=composer).decode()
    other = Addressee(member_id="2", address="bo@müller.example", display_name="Bo & Co <x>", time_zone="Asia/Tokyo")
    two = written(addressee=other, composer=composer, dated=DATED + timedelta(hours=1)).decode()
    assert "Anna Smith" in one
    assert "2:05=C2=A0PM" in one
    assert "12:06:30" in one
    assert "Bo & Co <x>" in two
    assert "Bo &amp; Co &lt;x&gt;" in two
    assert "bo@xn--mller-kva.example" in two
    assert "Japan Standard Time" in two
    assert "13:06:30" in two
    assert "Anna" not in two


def test_the_letter_knows_its_envelope() -> None:
    composed = a_composer().compose(
        LetterKind.PROTECTED, OCCASION, ADDRESSEE._replace(address="A.B@EXAMPLE.com"), slot="notice", dated=DATED
    )
    assert (composed.sender, composed.recipient) == ("security@northwind.example", "A.B@example.com")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (None, AddressFault.NO_ADDRESS),
        ("nonsense", AddressFault.MALFORMED),
        ("a@b.com\r\nRCPT TO:<c@d.com>", AddressFault.MALFORMED),
        ("jürgen@example.com", AddressFault.UNSUPPORTED),
    ],
)
def test_who_cannot_be_mailed_is_named_with_the_reason(address: str | None, reason: str) -> None:
    with pytest.raises(Unaddressable) as caught:
        written(addressee=ADDRESSEE._replace(address=address))
    assert caught.value.reason == reason


def test_a_name_that_is_an_address_is_no_name() -> None:
    content = written(addressee=ADDRESSEE._replace(display_name="anna@evil.example")).decode()
    assert "evil" not in content
    assert "\r\nHello,\r\n" in content


def test_an_organization_without_a_name_is_called_by_its_id() -> None:
    assert "\r\nSubject: Organization 7: set up" in written(occasion=replace(OCCASION, organization_name=" \u200b")).decode()


def test_only_a_report_is_about_totals_and_it_needs_them() -> None:
    with pytest.raises(ValueError, match="totals"):
        a_composer().compose(LetterKind.REPORT, OCCASION, ADDRESSEE, slot="report", dated=DATED)


def test_a_report_counts_what_the_ledger_counted() -> None:
    text = written(LetterKind.REPORT).decode().split("text/html")[0]
    for said in (
        "1,204 members",
        "    702  Signed out",
        "1,833 sessions were ended",
        "  1,190  Accepted",
        "lee.jordan@northwind.example",
        "and 7 more",
    ):
        assert said in text


def test_a_report_without_anything_to_do_says_so() -> None:
    nothing = Totals(members=1, sessions_ended=1)
    content = a_composer().compose(LetterKind.REPORT, OCCASION, ADDRESSEE, slot="report", dated=DATED, totals=nothing).content.decode()
    assert "1 session was ended" in content
    assert "1 member\r\n" in content
    assert "There is nothing you need to do." in content.replace("=\r\n", "")
    assert replace(TOTALS, unreachable=(), unreachable_more=0) != nothing


def test_a_report_without_an_address_for_the_run_names_the_run_and_links_nowhere() -> None:
    content = written(LetterKind.REPORT).decode().replace("=\r\n", "")
    assert "This was run 42;" in content
    assert content.count("https://") == content.count("https://help.northwind.example")


@pytest.mark.parametrize("sender", ["", "nobody", "a@", "Ä <ä@example.com>"])
def test_a_sender_that_is_no_mailbox_is_refused_at_once(sender: str) -> None:
    with pytest.raises(ValueError, match="not a mailbox to send from"):
        Composer(mail_from=sender, app_url="https://a.example", message_id_key=KEY, message_id_key_id="k1")


@pytest.mark.parametrize(("key", "key_id"), [(b"", "k1"), (KEY, ""), (KEY, "a b"), (KEY, "k\r\n")])
def test_a_key_that_cannot_stand_in_a_message_id_is_refused_at_once(key: bytes, key_id: str) -> None:
    with pytest.raises(ValueError, match="key"):
        a_composer(key=key, key_id=key_id)


def test_moulds_are_bounded_whatever_the_number_of_organizations() -> None:
    composer = a_composer()
    composer._kept.cache_clear()
    for number in range(3):
        written(occasion=replace(OCCASION, organization_id=str(number)), composer=composer)
    info = composer._kept.cache_info()
    assert (info.misses, info.currsize) == (3, 3)
    assert info.maxsize is not None
    assert info.maxsize <= 256


anything = st.none() | st.text(max_size=100)


occasions = st.builds(
    lambda name, decided_by, support_url, locale, time_zone: replace(
        OCCASION,
        organization_name=name,
        decided_by=decided_by,
        support_url=support_url,
        organization_locale=locale,
        organization_time_zone=time_zone,
    ),
    *[anything] * 5,
)
addressees = st.builds(
    lambda name, locale, time_zone, kind: ADDRESSEE._replace(display_name=name, locale=locale, time_zone=time_zone, kind=kind),
    *[anything] * 4,
)


@given(occasions, addressees)
@settings(max_examples=60, deadline=None)
def test_whatever_the_main_app_holds_there_is_a_letter(occasion: Occasion, addressee: Addressee) -> None:
    content = written(LetterKind.EXEMPT, occasion, addressee)
    assert content.isascii()
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert len(re.findall(rb"(?m)^(?:To|From|Subject|Bcc|Cc): ", content.split(b"\r\n\r\n")[0])) == 3


@pytest.mark.parametrize(
    "url",
    [
        "https://help.example.com",
        "https://help.example.com/",
        "https://help.example.com:8443/a/b-c?topic=2fa&x=1#top",
        "https://a.b/~x;y=(1)",
    ],
)
def test_a_plain_https_address_may_be_shown(url: str) -> None:
    assert safe_https(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *[
            None,
            "",
            "help.example.com",
            "http://help.example.com",
            "HTTPS://help.example.com",
            "javascript:alert(1)",
            "https://",
            "https://localhost",
        ],
        *[
            "https://user@evil.example",
            "https://good.example@evil.example",
            "https://a b.example",
            "https://evil.example/\r\nx",
            "https://-a.example",
        ],
        *[
            "https://müller.example",
            "https://a.example/ü",
            'https://a.example/"onclick=x',
            "https://a.example/<b>",
            "https://a..example",
            "https://1.2.3.4",
        ],
        *["https://a.example/" + "x" * 300, "https://[::1]/", "https://a.example\\@evil.example", "https://a.example/\u202e"],
    ],
)
def test_any_other_address_is_left_out(url: str | None) -> None:
    assert safe_https(url) is None


def test_other_processes_write_the_same_bytes() -> None:
    program = (
        "import hashlib; from jobs.letters.samples import *; from tests.unit.test_letters_composer import written; "
        "print(hashlib.sha256(b''.join(written(kind) for kind in LetterKind)).hexdigest())"
    )
    here = hashlib.sha256(b"".join(written(kind) for kind in LetterKind)).hexdigest()
    for seed in ("1", "2"):
        finished = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": ".", "TZ": "Asia/Tokyo", "LANG": "C"},
            capture_output=True,
            check=True,
            text=True,
        )
        assert finished.stdout.strip() == here
