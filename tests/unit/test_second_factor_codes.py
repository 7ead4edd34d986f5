"""What may be a code, which step it belongs to, and what is kept of a recovery code: rules without a clock or a database."""

# ruff: noqa: RUF001 -- digits of other alphabets are what this is about

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pyotp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.second_factor import codes, qr, rules
from jobs.second_factor.recovery_codes import ALPHABET, digest, new_codes, new_set_key, read_recovery_code

RFC_SECRET = b"12345678901234567890"
STEP = 1_000_000


@pytest.mark.parametrize(
    ("seconds", "code"), [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_codes_are_those_of_rfc_6238_appendix_b(seconds: int, code: str) -> None:
    step = codes.step_at(datetime.fromtimestamp(seconds, UTC))
    assert codes.code_for(RFC_SECRET, step) == code
    assert codes.matching_step(RFC_SECRET, code, step) == step


@pytest.mark.parametrize("typed", ["123456", "123 456", " 123456 ", "000000"])
def test_six_digits_are_a_code_whatever_blanks_are_between(typed: str) -> None:
    assert codes.read_code(typed) == typed.replace(" ", "")


@pytest.mark.parametrize(
    "typed",
    [
        *[
            "",
            " ",
            "12345",
            "1234567",
            "12345a",
            "abcdef",
            "-12345",
            "+12345",
            "1_2345",
            "1.2345",
            "0x1234",
            "123456\n",
            "123\t456",
            "12\u00a03456",
        ],
        *["１２３４５６", "𝟏𝟐𝟑𝟒𝟓𝟔", "١٢٣٤٥٦", "۱۲۳۴۵۶", "१२३४५६", "12345６", "１23456", "²³¹456", "①②③④⑤⑥"],
        *["1" * 10_000, " " * 40 + "123456", None, 123456, b"123456", ["1", "2", "3", "4", "5", "6"]],
    ],
)
def test_anything_else_is_none(typed: object) -> None:
    """pyotp takes full-width and mathematical digits for the same code: a memory of typed strings is bypassed by them."""
    assert codes.read_code(typed) is None


def test_pyotp_itself_takes_other_alphabets_digits() -> None:
    """Pins what the rule above is for."""
    app = pyotp.TOTP(codes.to_base32(RFC_SECRET))
    full_width = "".join(chr(ord(digit) + 0xFEE0) for digit in app.at(0))
    assert app.verify(full_width, for_time=datetime.fromtimestamp(0, UTC))


@given(st.text())
@example("１２３４５６")
def test_whatever_is_taken_is_six_ascii_digits(typed: str) -> None:
    code = codes.read_code(typed)
    assert code is None or (len(code) == 6 and all("0" <= digit <= "9" for digit in code))
    if unicodedata.normalize("NFKC", typed) != typed:
        assert code is None


@given(st.binary(min_size=20, max_size=20), st.integers(min_value=1, max_value=2**40), st.integers(min_value=-3, max_value=3))
def test_the_current_step_and_the_one_before_are_accepted_and_no_other(secret: bytes, step: int, away: int) -> None:
    window = {codes.code_for(secret, step - 1): step - 1, codes.code_for(secret, step): step}
    code = codes.code_for(secret, max(0, step + away))
    assert codes.matching_step(secret, code, step) == window.get(code, codes.NO_STEP)


def test_the_first_step_of_all_has_none_before_it() -> None:
    assert codes.matching_step(RFC_SECRET, codes.code_for(RFC_SECRET, 0), 0) == 0


def test_a_secret_has_160_bits_and_reads_back_from_base32() -> None:
    secrets = {codes.new_secret() for _ in range(50)}
    assert len(secrets) == 50
    assert {len(secret) for secret in secrets} == {rules.SECRET_BYTES}
    assert {len(codes.to_base32(secret)) for secret in secrets} == {32}  # no padding, which some apps choke on


@pytest.mark.parametrize("label", ["ada@kestrel.example", "Ada & Co: 100 % <b>", "工藤@例え.テスト", "a:b/c?d=e#f", "\u202eevil"])
def test_the_uri_keeps_hostile_labels_in_their_place(label: str) -> None:
    uri = codes.provisioning_uri(RFC_SECRET, issuer="Kestrel: Ltd?", label=label)
    assert uri.isascii()
    read = pyotp.parse_uri(uri)
    assert isinstance(read, pyotp.TOTP)
    assert (read.secret, read.digits, read.interval, read.issuer) == (codes.to_base32(RFC_SECRET), 6, 30, "Kestrel: Ltd?")


def test_the_qr_code_is_one_element_that_names_itself_and_needs_nothing_from_the_page() -> None:
    drawn = qr.svg(codes.provisioning_uri(RFC_SECRET, issuer="Kestrel", label="ada"), 'Scan <me> & "smile"')
    svg = ET.fromstring(drawn)
    assert svg.tag.endswith("svg")
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == 'Scan <me> & "smile"'
    assert svg[0].tag.endswith("title")
    colours = {value for element in svg.iter() for name, value in element.attrib.items() if name in {"fill", "stroke"}}
    assert colours == {"#fff", "#000"}
    assert "secret" not in drawn.lower()


def test_the_qr_code_in_text_is_square_blocks() -> None:
    lines = qr.text(codes.provisioning_uri(RFC_SECRET, issuer="Kestrel", label="ada")).splitlines()
    widths = {len(line) for line in lines}
    assert len(widths) == 1
    assert set("".join(lines)) <= set(" ▀▄█")
    assert abs(2 * len(lines) - widths.pop()) <= 1


def test_recovery_codes_have_120_bits_each_and_are_all_different() -> None:
    made = {code for _ in range(20) for code in new_codes()}
    assert len(made) == 20 * rules.RECOVERY_CODES
    assert {len(code) for code in made} == {29}
    assert rules.RECOVERY_BITS == 24 * 5
    assert set("".join(made)) == set(ALPHABET) | {"-"}


codes_typed = st.sampled_from([new_codes()[0] for _ in range(5)])


@given(codes_typed, st.sampled_from([str.lower, str.upper, str.swapcase]), st.sampled_from(["", " ", "-", " - "]))
def test_a_recovery_code_is_read_whatever_its_case_and_grouping(code: str, case: Callable[[str], str], between: str) -> None:
    assert read_recovery_code(case(code.replace("-", between))) == code.replace("-", "")


def test_letters_that_look_like_digits_are_read_as_digits() -> None:
    assert read_recovery_code("oOiIlL" + "A" * 18) == "001111" + "A" * 18


@pytest.mark.parametrize("typed", ["", "A" * 23, "A" * 25, "U" * 24, "Ａ" * 24, "A" * 23 + "é", "A" * 10_000, None, 7])
def test_what_can_be_no_recovery_code_is_none(typed: object) -> None:
    assert read_recovery_code(typed) is None


def test_the_same_code_has_another_hash_in_another_set() -> None:
    code = read_recovery_code(new_codes()[0])
    assert code is not None
    first, second = new_set_key(), new_set_key()
    assert digest(first, code) == digest(first, code) != digest(second, code)
    assert len(digest(first, code)) == 32
