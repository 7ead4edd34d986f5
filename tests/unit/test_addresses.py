"""Addresses are hostile text; what comes out may stand in an SMTP command."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.domain import addresses
from jobs.domain.addresses import AddressFault, Unaddressable, to_mailbox


@pytest.mark.parametrize(
    ("given_address", "mailbox"),
    [
        ("anna@example.com", "anna@example.com"),
        ("Anna.Smith+news@EXAMPLE.com", "Anna.Smith+news@example.com"),
        ("o'brien@example.ie", "o'brien@example.ie"),
        ("anna@müller.de", "anna@xn--mller-kva.de"),
        ("anna@xn--mller-kva.de", "anna@xn--mller-kva.de"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_an_address_becomes_an_ascii_mailbox(given_address: str, mailbox: str) -> None:
    assert to_mailbox(given_address) == mailbox


@pytest.mark.parametrize("absent", [None, "", "   ", "\t\n"])
def test_no_address_is_told_apart_from_a_bad_one(absent: str | None) -> None:
    assert fault_of(absent) is AddressFault.NO_ADDRESS


@pytest.mark.parametrize(
    "bad",
    [
        "anna",
        "@example.com",
        "anna@",
        "anna@localhost",
        "anna@@example.com",
        "anna@example..com",
        ".anna@example.com",
        "anna.@example.com",
        "an na@example.com",
        " anna@example.com",
        "anna@example.com ",
        "anna@example.com\r\nRCPT TO:<evil@example.net>",
        "anna\r\n@example.com",
        "anna@example.com>",
        "<anna@example.com>",
        "Anna <anna@example.com>",
        "anna@example.com,evil@example.net",
        '"anna smith"@example.com',
        "anna@[127.0.0.1]",
        "anna@exam\x00ple.com",
        "anna\x7f@example.com",
        "anna@exa\u202emple.com",
        "an\u200bna@example.com",
        "\ud800@example.com",
        "anna@\ud800.com",
        "a" * 65 + "@example.com",
        "anna@" + "a" * 64 + ".com",
        "anna@" + "a." * 10_000 + "com",
        "a" * 10_000,
        "anna.smith@" + ("a" * 60 + ".") * 4 + "com",
    ],
)
def test_what_is_not_an_address_is_refused(bad: str) -> None:
    assert fault_of(bad) is AddressFault.MALFORMED


def test_a_local_part_beyond_ascii_is_unsupported_not_malformed() -> None:
    assert fault_of("jürgen@example.com") is AddressFault.UNSUPPORTED
    assert fault_of("用户@例え.jp") is AddressFault.UNSUPPORTED


def test_the_error_says_what_to_do_and_does_not_repeat_the_address() -> None:
    with pytest.raises(Unaddressable, match="correct it there") as caught:
        to_mailbox("evil\r\n@example.com")
    assert "evil" not in str(caught.value)


hostile = st.one_of(
    st.text(max_size=400),
    st.emails(),
    st.builds("{}@{}".format, st.text(max_size=80), st.text(max_size=80)),
    st.builds("{}@{}".format, st.text("aZ9.!#+-_", max_size=70), st.text("aZ9.-", max_size=260)),
    st.builds(
        "{}{}{}".format,
        st.emails(),
        st.sampled_from(["\r\n", "\n", "\r", ">", " ", "\x00", "\u2028", "\u202e", ",", ";", "%0a"]),
        st.text(max_size=20),
    ),
)


@given(hostile)
@example("a@" + ("b" * 61 + ".") * 4 + "de")
@settings(max_examples=600)
def test_nothing_that_could_end_a_command_ever_comes_out(address: str) -> None:
    try:
        mailbox = to_mailbox(address)
    except Unaddressable:
        return
    assert mailbox.isascii()
    assert mailbox.isprintable()
    assert not set(mailbox) & set(' <>\r\n,;"()[]\\')
    assert mailbox.count("@") == 1
    assert len(mailbox) <= addresses.LONGEST_ADDRESS


@given(hostile)
@settings(max_examples=600)
def test_the_quick_way_and_the_long_way_agree(address: str) -> None:
    if address and not address.isspace():
        assert outcome(to_mailbox, address) == outcome(addresses._checked, address)


@given(hostile)
def test_a_mailbox_is_its_own_mailbox(address: str) -> None:
    once = outcome(to_mailbox, address)
    assert isinstance(once, AddressFault) or to_mailbox(once) == once


def outcome(way: Callable[[str], str], address: str) -> str | AddressFault:
    try:
        return way(address)
    except Unaddressable as refused:
        return refused.reason


def fault_of(address: str | None) -> AddressFault:
    with pytest.raises(Unaddressable) as caught:
        to_mailbox(address)
    return caught.value.reason
