"""What is written for one letter, and how what comes back is cut into replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.ports import Envelope, Scope, SmtpStage
from workers.mailer import wire
from workers.mailer.reader import CODES, GarbledError, ReplyReader


def an_envelope(*, sender: str = "a@b.example", recipient: str = "c@d.example", content: bytes = b"Subject: x\r\n\r\ny\r\n") -> Envelope:
    return Envelope(reference=None, sender=sender, recipient=recipient, content=content)


def test_a_group_is_mail_rcpt_and_data() -> None:
    assert wire.opening(an_envelope(), with_size=False) == b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"


def test_the_size_is_told_where_the_relay_wants_it() -> None:
    assert wire.mail(an_envelope(content=b"12345\r\n"), with_size=True) == b"MAIL FROM:<a@b.example> SIZE=7\r\n"


def test_an_empty_sender_is_a_bounces() -> None:
    envelope = an_envelope(sender="")
    assert wire.unfit(envelope) is None
    assert wire.mail(envelope, with_size=False) == b"MAIL FROM:<>\r\n"


def test_a_senders_address_at_fault_is_no_recipients_matter() -> None:
    receipt = wire.unfit(an_envelope(sender="a@b.c>\r\nRCPT TO:<evil@example.com"))
    assert receipt is not None
    assert (receipt.scope, receipt.stage) == (Scope.MESSAGE, SmtpStage.MAIL)


@given(st.text(max_size=300))
def test_no_address_writes_more_than_one_command(address: str) -> None:
    envelope = an_envelope(recipient=address)
    if wire.unfit(envelope) is None:
        assert wire.rcpt(envelope).count(b"\r\n") == 1
        assert wire.rcpt(envelope).count(b">") == 1
        assert len(wire.rcpt(envelope)) <= 512


@given(st.lists(st.sampled_from([b".", b"..", b"x", b".x", b"x.", b"", b"a line"]), max_size=12))
def test_stuffing_is_what_a_relay_undoes(lines: list[bytes]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    on_the_wire = wire.stuffed(content) + wire.FINAL_DOT
    assert (b"\r\n" + on_the_wire).index(b"\r\n.\r\n") == len(on_the_wire) - len(wire.FINAL_DOT)
    assert (b"\r\n" + on_the_wire[: -len(wire.FINAL_DOT)]).replace(b"\r\n..", b"\r\n.")[2:] in {content, content + b"\r\n"}


@pytest.mark.parametrize("smuggled", [b"x\n.\r\nMAIL FROM:<evil@example.com>\r\n", b"x\r\n\n.\n\r\n", b"x\n.\n", b".\n.\r\n"])
def test_no_bare_line_feed_ends_a_letter(smuggled: bytes) -> None:
    on_the_wire = b"\r\n" + wire.stuffed(smuggled)
    for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\r\n", b"\r\n.\n"):
        assert end not in on_the_wire


def replies_of(*pieces: bytes) -> list[tuple[int, bytes]]:
    reader = ReplyReader()
    return [reply for piece in pieces for reply in reader.feed(piece)]


def test_lines_of_one_reply_are_joined() -> None:
    assert replies_of(b"250-one\r\n250-two\r\n250 three\r\n") == [(250, b"one\r\ntwo\r\nthree\r")]


def test_a_code_alone_is_a_reply() -> None:
    assert replies_of(b"250\r\n354\n") == [(250, b""), (354, b"")]


@given(st.data())
def test_pieces_make_no_difference(data: st.DataObject) -> None:
    whole = b"250 2.1.0 Ok\r\n250-2.1.5 a\r\n250 2.1.5 b\r\n354 go\r\n421 bye\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert replies_of(*pieces) == replies_of(whole)


@given(st.binary(max_size=60))
def test_any_bytes_are_replies_or_garbled(data: bytes) -> None:
    try:
        assert all(code in CODES.values() for code, _ in replies_of(data))
    except GarbledError:
        assert b"\n" in data


@pytest.mark.parametrize(
    "garbled", [b"\r\n", b"25\r\n", b"600 x\r\n", b"199 x\r\n", b"2500 x\r\n", b"abc x\r\n", b" 250 x\r\n", b"\xb2\xb3\xb4 x\r\n"]
)
def test_what_is_no_reply_is_an_error(garbled: bytes) -> None:
    with pytest.raises(GarbledError):
        replies_of(garbled)


@pytest.mark.parametrize("endless", [b"250 " + b"x" * 20_000, b"250-x\r\n" * 5_000])
def test_a_reply_without_end_is_an_error(endless: bytes) -> None:
    with pytest.raises(GarbledError):
        replies_of(endless)
