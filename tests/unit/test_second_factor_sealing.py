"""Sealed secrets and tickets: what opens, what does not, and that nothing secret shows."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.second_factor import Begun, RecoveryCodes, Refused, tickets
from jobs.second_factor.answers import Recovered
from jobs.second_factor.sealing import Kind, Place, Sealed, UnreadableError, seal, unseal
from tests.integration.second_factor_parts import KEYS, NOW, ring

PLACE = Place(kind=Kind.TOTP, user_id=7, item_id=UUID(int=5))
SECRET = b"canary-canary-canary"

ids = st.one_of(st.integers(), st.uuids(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
places = st.builds(Place, kind=st.sampled_from(Kind), user_id=ids, item_id=st.uuids())


@given(places, st.binary(max_size=64))
def test_what_was_sealed_opens_in_its_place(place: Place, secret: bytes) -> None:
    assert unseal(KEYS, place, seal(KEYS, place, secret)) == secret


@given(places, places)
def test_it_opens_in_no_other_place(place: Place, other: Place) -> None:
    named = [(kind.kind, str(kind.user_id), kind.item_id) for kind in (place, other)]
    sealed = seal(KEYS, place, SECRET)
    if named[0] != named[1]:
        with pytest.raises(UnreadableError):
            unseal(KEYS, other, sealed)


@pytest.mark.parametrize(
    "elsewhere", [{"kind": Kind.RECOVERY}, {"user_id": 8}, {"user_id": 70}, {"item_id": UUID(int=6)}], ids=lambda change: next(iter(change))
)
def test_a_ciphertext_moved_to_another_row_does_not_open(elsewhere: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError, match="altered, or belongs to another row"):
        unseal(KEYS, replace(PLACE, **elsewhere), seal(KEYS, PLACE, SECRET))


@given(st.data())
def test_no_altered_ciphertext_opens(data: st.DataObject) -> None:
    sealed = seal(KEYS, PLACE, SECRET)
    at = data.draw(st.integers(min_value=0, max_value=len(sealed.secret) - 1))
    flipped = bytearray(sealed.secret)
    flipped[at] ^= 1 << data.draw(st.integers(min_value=0, max_value=7))
    with pytest.raises(UnreadableError):
        unseal(KEYS, PLACE, replace(sealed, secret=bytes(flipped)))


@pytest.mark.parametrize("stump", [b"", b"short", b"n" * 12, b"n" * 27])
def test_what_is_no_ciphertext_does_not_open(stump: bytes) -> None:
    with pytest.raises(UnreadableError):
        unseal(KEYS, PLACE, Sealed(key_id="k1", secret=stump))


def test_the_first_key_seals_and_every_key_of_the_ring_opens() -> None:
    old = seal(ring("k1"), PLACE, SECRET)
    assert unseal(ring("k2", "k1"), PLACE, old) == SECRET
    assert seal(ring("k2", "k1"), PLACE, SECRET).key_id == "k2"


def test_a_key_that_is_not_in_the_ring_is_named_and_what_to_do() -> None:
    with pytest.raises(UnreadableError, match=r"under key k1 can't be opened: the key is not in the ring; put it back"):
        unseal(ring("k2"), PLACE, seal(ring("k1"), PLACE, SECRET))


def test_a_ciphertext_said_to_be_under_another_key_does_not_open() -> None:
    sealed = seal(ring("k1", "k2"), PLACE, SECRET)
    with pytest.raises(UnreadableError):
        unseal(ring("k1", "k2"), PLACE, replace(sealed, key_id="k2"))


def test_no_two_ciphertexts_of_a_secret_are_alike() -> None:
    assert len({seal(KEYS, PLACE, SECRET).secret for _ in range(100)}) == 100


def test_nothing_secret_shows_in_a_repr_or_an_error() -> None:
    sealed = seal(KEYS, PLACE, SECRET)
    with pytest.raises(UnreadableError) as raised:
        unseal(ring("k9"), PLACE, sealed)
    shown = [
        repr(sealed),
        str(raised.value),
        repr(Begun(secret="CANARY", uri="otpauth://canary", expires_at=NOW)),
        repr(RecoveryCodes(codes=("CANARY",))),
        repr(Recovered(codes_left=9, ticket="canary", must_bind_again=False, sessions_ended=0)),
        repr(Refused()),
    ]
    assert not [text for text in shown if "canary" in text.lower() or sealed.secret.hex() in text]


def test_a_ticket_is_good_for_its_user_and_factor_and_ten_minutes() -> None:
    factor = uuid4()
    ticket = tickets.issue(KEYS, 7, factor, NOW)
    assert tickets.is_good(KEYS, ticket, 7, factor, NOW)
    assert tickets.is_good(ring("k2", "k1"), ticket, 7, factor, NOW + timedelta(minutes=9, seconds=59))
    assert not tickets.is_good(KEYS, ticket, 7, factor, NOW + timedelta(minutes=10))
    assert not tickets.is_good(KEYS, ticket, 8, factor, NOW)
    assert not tickets.is_good(KEYS, ticket, 7, uuid4(), NOW)
    assert not tickets.is_good(ring("k2"), ticket, 7, factor, NOW)


@given(st.text() | st.from_regex(r"k1\.[0-9a-f]{32}\.[0-9]{1,12}\.[0-9a-f]{64}", fullmatch=True))
def test_no_other_text_is_a_ticket(text: str) -> None:
    assert not tickets.is_good(KEYS, text, 7, UUID(int=5), NOW)


def test_a_ticket_with_a_later_end_is_none() -> None:
    key_id, factor, expires, signature = tickets.issue(KEYS, 7, UUID(int=5), NOW).split(".")
    assert not tickets.is_good(KEYS, f"{key_id}.{factor}.{int(expires) + 1}.{signature}", 7, UUID(int=5), NOW)
