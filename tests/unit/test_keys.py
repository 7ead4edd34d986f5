"""The key ring: what it accepts, what it says about what it does not, and one subkey a purpose."""

import base64

import pytest

from jobs.keys import Key, KeyRing, Purpose


def encoded(fill: int, length: int = 32) -> str:
    return base64.b64encode(bytes([fill]) * length).decode()


FIRST, SECOND = f"2025:{encoded(1)}", f"2024:{encoded(2)}"


def faults(text: str) -> str:
    with pytest.raises(ValueError, match="key") as raised:
        KeyRing.parse(text)
    return str(raised.value)


def test_keys_keep_their_order_and_blanks_around_them_do_no_harm() -> None:
    assert [key.id for key in KeyRing.parse(f" {FIRST} ,\n{SECOND}").keys] == ["2025", "2024"]


def test_the_first_key_signs_and_all_of_them_verify() -> None:
    ring = KeyRing.parse(f"{FIRST},{SECOND}")
    assert ring.current(Purpose.BROKER) == ring.find("2025", Purpose.BROKER)
    old = KeyRing.parse(SECOND).current(Purpose.BROKER)
    assert ring.find("2024", Purpose.BROKER) == old


def test_a_key_that_left_the_ring_is_not_found() -> None:
    assert KeyRing.parse(FIRST).find("2024", Purpose.BROKER) is None


def test_each_purpose_has_a_subkey_of_its_own_and_none_is_the_master_key() -> None:
    ring = KeyRing.parse(FIRST)
    secrets = {ring.current(purpose).secret for purpose in Purpose}
    assert len(secrets) == len(Purpose)
    assert ring.keys[0].secret not in secrets


def test_a_subkey_never_changes() -> None:
    # HKDF-SHA-256 of 32 bytes 0x01, no salt: what was signed yesterday must verify tomorrow.
    assert KeyRing.parse(FIRST).current(Purpose.BROKER).secret.hex() == "046d3832e69985d2fe02225392b89c3843f4c28cda7f58623edc79344c2df3ff"


def test_the_bytes_stay_out_of_the_repr() -> None:
    key = KeyRing.parse(f"k:{base64.b64encode(b'canary-' * 4 + b'1234').decode()}")
    assert "canary" not in repr(key)
    assert "canary" not in repr(Key(id="k", secret=b"canary"))


def test_every_fault_of_a_ring_is_named_at_once_by_place() -> None:
    told = faults(f"no colon here,short:{encoded(1, 16)},bad:***,{FIRST},{FIRST},way-too-long-an-id:{encoded(3)}")
    for expected in ("key 1 needs an id", "key 2 (short) must be", "key 3 (bad) must be", "2025 appears twice", "key 6 needs an id"):
        assert expected in told


@pytest.mark.parametrize("text", ["", ",", f"{FIRST},"])
def test_an_empty_place_is_a_fault(text: str) -> None:
    assert "needs an id" in faults(text)


@pytest.mark.parametrize("text", [encoded(9), encoded(9, 8), f"wrong:{encoded(9, 31)}", f"wrong:{encoded(9)}!"])
def test_no_key_material_is_repeated(text: str) -> None:
    assert encoded(9, 8)[:8] not in faults(text)
