"""The encoder signs what it writes and reads nothing that it did not sign."""

import base64
import pickle
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.keys import KeyRing
from workers.broker import Reason, RejectedError, UnknownVersionError, UnpublishableError
from workers.broker.signed_encoder import MAX_BYTES, SignedEncoder

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()
STRANGE = "new:" + base64.b64encode(b"s" * 32).decode()
FIELDS: dict[str, Any] = {"queue_name": "enforce", "args": [1, "zwei", None], "kwargs": {"run": "r"}}


def an_encoder(*keys: str) -> SignedEncoder:
    return SignedEncoder(KeyRing.parse(",".join(keys or (NEW, OLD))))


def reason_for(data: bytes, *keys: str) -> Reason:
    with pytest.raises(RejectedError) as rejected:
        an_encoder(*keys).decode(data)
    return rejected.value.reason


def test_what_was_encoded_is_decoded() -> None:
    assert an_encoder().decode(an_encoder().encode(FIELDS)) == FIELDS


def test_the_first_key_signs_and_every_key_verifies() -> None:
    written_before = an_encoder(OLD, NEW).encode(FIELDS)
    assert written_before.startswith(b"p1.old.")
    assert an_encoder(NEW, OLD).decode(written_before) == FIELDS


def test_a_key_that_left_the_ring_verifies_nothing() -> None:
    assert reason_for(an_encoder(OLD).encode(FIELDS), NEW) is Reason.UNKNOWN_KEY


def test_another_secret_under_a_known_id_is_a_forgery() -> None:
    assert reason_for(an_encoder(STRANGE).encode(FIELDS), NEW) is Reason.BAD_SIGNATURE


def test_the_key_id_is_signed_too() -> None:
    twin = NEW.replace("new:", "twin:")
    signed = an_encoder(NEW).encode(FIELDS)
    assert reason_for(signed.replace(b".new.", b".twin.", 1), NEW, twin) is Reason.BAD_SIGNATURE


def test_a_version_of_the_future_is_named() -> None:
    with pytest.raises(UnknownVersionError):
        an_encoder().decode(an_encoder().encode(FIELDS).replace(b"p1.", b"p2.", 1))


@given(st.data())
def test_no_flipped_bit_goes_unnoticed(data: st.DataObject) -> None:
    signed = bytearray(an_encoder().encode(FIELDS))
    bit = data.draw(st.integers(0, len(signed) * 8 - 1))
    signed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RejectedError):
        an_encoder().decode(bytes(signed))


@given(st.binary(max_size=200))
def test_garbage_is_rejected_not_crashed_upon(garbage: bytes) -> None:
    with pytest.raises(RejectedError):
        an_encoder().decode(garbage)


@pytest.mark.parametrize("data", [b"", b".", b"p1", b"p1.new", b"p1.new.signature", b'{"queue_name":"enforce"}', b"\xff" * 40])
def test_what_is_not_our_format_is_malformed(data: bytes) -> None:
    assert reason_for(data) is Reason.MALFORMED


def test_a_pickle_is_never_unpickled() -> None:
    assert reason_for(pickle.dumps(Bomb())) is Reason.MALFORMED
    assert not Bomb.went_off


def test_a_signed_pickle_is_not_unpickled_either() -> None:
    assert reason_for(signed(pickle.dumps(Bomb()))) is Reason.UNREADABLE
    assert not Bomb.went_off


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"{", b"[" * 10_000, b"\xff"])
def test_a_signed_body_that_is_no_object_is_unreadable(body: bytes) -> None:
    assert reason_for(signed(body)) is Reason.UNREADABLE


def test_a_message_above_the_cap_is_neither_written_nor_read() -> None:
    with pytest.raises(UnpublishableError, match="send ids"):
        an_encoder().encode({"args": ["x" * MAX_BYTES]})
    assert reason_for(b"p1.new." + b"x" * MAX_BYTES) is Reason.OVERSIZED


@pytest.mark.parametrize("value", [uuid4(), b"bytes", {1, 2}, float("nan")])
def test_only_json_is_written(value: object) -> None:
    with pytest.raises(UnpublishableError, match="plain JSON"):
        an_encoder().encode({"args": [value]})


class Bomb:
    went_off = False

    def __reduce__(self) -> tuple[Any, ...]:
        return (setattr, (Bomb, "went_off", True))


def signed(body: bytes) -> bytes:
    from jobs.keys import Purpose  # noqa: PLC0415
    from workers.broker.signed_encoder import _signature  # noqa: PLC0415 - only a holder of the key can write this

    key = KeyRing.parse(NEW).current(Purpose.BROKER)
    return b".".join((b"p1", b"new", _signature(key.secret, b"new", body), body))
