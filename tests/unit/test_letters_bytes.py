"""Headers, quoted-printable and moulds: 7-bit lines of bounded length that decode to what went in."""

import email
import email.policy
import quopri
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.utils import parseaddr

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.domain.names import clean_name
from jobs.letters import headers
from jobs.letters.mould import ACCOUNT, NAME, WHEN, Gap, Mould
from jobs.letters.quoted import SOFT_BREAK, quote_body, quote_value

texts = st.text(max_size=200)
lines = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Co", "Zl", "Zp"]), max_size=300)


def parsed(header: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(header + b"\r\n\r\n", policy=email.policy.strict)


def name_in(header: bytes) -> str:
    """The name as a mail program shows it; `headerregistry` of Python 3.11 puts spaces between adjoining encoded words."""
    name, _ = parseaddr(re.sub(r"\r\n", "", header.decode("ascii")).removeprefix("To: "))
    return str(make_header(decode_header(name)))


def longest_line(content: bytes) -> int:
    return max(map(len, content.split(b"\r\n")))


@given(texts)
@example("Anna Smith")
@example('Anna "The Admin" O\\Brien, Jr.')
@example("=?utf-8?q?=0d=0aBcc=3a_evil?=")
@example("山田太郎" * 16)
def test_a_name_in_an_address_header_reads_back(raw: str) -> None:
    name = clean_name(raw, 64)
    header = b"To: " + headers.mailbox(name, "anna@example.com")
    assert [address.addr_spec for address in parsed(header)["To"].addresses] == ["anna@example.com"]
    assert name_in(header) == name
    assert header.isascii()
    assert longest_line(header) <= 160


@given(texts)
@example("Acme: set up two-factor authentication to sign in, and a few more words than one line can hold")
@example("ノースウィンド商会：ログインするには二要素認証を設定してください" * 3)  # noqa: RUF001 - Japanese punctuation
def test_a_subject_reads_back(raw: str) -> None:
    subject = clean_name(raw, 150)
    header = b"Subject: " + headers.unstructured(subject, used=9)
    assert parsed(header)["Subject"] == subject
    assert header.isascii()
    assert longest_line(header) <= headers.LONGEST_LINE


@pytest.mark.parametrize("injected", ["a\r\nBcc: b@example.com", "a\nb", "a\rb", "a\x00b", "a\x85b"])
@pytest.mark.parametrize("encode", [lambda name: headers.mailbox(name, "a@example.com"), headers.unstructured, quote_value])
def test_no_control_character_gets_into_a_header_or_a_gap(encode: Callable[[str], bytes], injected: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        encode(injected)


def test_equal_moments_are_the_same_date_whatever_their_zone() -> None:
    assert headers.date(datetime(2025, 6, 19, 14, 6, 30, tzinfo=timezone(timedelta(hours=2)))) == b"Thu, 19 Jun 2025 12:06:30 +0000"
    assert headers.date(datetime(2025, 6, 19, 12, 6, 30, tzinfo=UTC)) == b"Thu, 19 Jun 2025 12:06:30 +0000"


@given(st.lists(lines, max_size=6))
@example(["x" * 76])
@example(["ä" * 200])
@example([" trailing space ", ".", "From here", "=20"])
def test_a_body_decodes_to_what_it_was(body: list[str]) -> None:
    text = "".join(f"{line}\n" for line in body)
    encoded = quote_body(text)
    assert quopri.decodestring(encoded).decode() == text.replace("\n", "\r\n")
    assert encoded.isascii()
    assert longest_line(encoded) <= 76
    assert b"=_" not in encoded
    assert not any(line.startswith(b".") for line in encoded.split(b"\r\n"))  # the mailer need not stuff dots


@given(lines)
@example("=" * 76)
@example("x" * 75)
@example("x" * 76)
@example("x" * 72 + "ä")
@example(".NET")
@example("x" * 71 + "." * 8)
@example("." * 80)
@example("x" * 73 + "ä")
def test_a_filling_decodes_between_soft_breaks_and_never_makes_a_line_too_long(value: str) -> None:
    filled = b"before" + SOFT_BREAK + quote_value(value) + SOFT_BREAK + b"after"
    assert quopri.decodestring(filled).decode() == f"before{value}after"
    assert longest_line(filled) <= 76
    assert not any(line.startswith(b".") for line in filled.split(b"\r\n"))


def test_a_mould_fills_each_gap_with_its_own_filling() -> None:
    mould = Mould.cast(
        [b"To: ", Gap.TO, b"\r\nDate: ", Gap.DATE, b"\r\n"], f"Dear {NAME},\n{ACCOUNT} {WHEN}\n", f"<p>{NAME}{NAME}</p>\n{WHEN}{ACCOUNT}\n"
    )
    fillings = [b""] * len(Gap)
    for gap in Gap:
        fillings[gap] = gap.name.encode()
    content = mould.fill(fillings)
    message = email.message_from_bytes(content, policy=email.policy.default)
    text, html = message.iter_parts()
    assert message["To"] == "TO"
    assert message["Date"] == "DATE"
    assert text.get_content() == "Dear NAME,\r\nACCOUNT WHEN\r\n"
    assert html.get_content() == "<p>NAME_IN_HTMLNAME_IN_HTML</p>\r\nWHENACCOUNT_IN_HTML\r\n"
    assert content.endswith(b"--\r\n")
    assert mould.fill(fillings) == content
