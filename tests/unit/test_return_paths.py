"""The envelope sender of each letter: short enough, the same in any case, and back again."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.bounces.origin import SLOTS_OF_KIND
from jobs.bounces.proofs import Proofs
from jobs.domain.letters import LetterKind
from jobs.keys import KeyRing, Purpose
from jobs.letters import Addressee, Composer
from jobs.letters.return_paths import SLOTS, ReturnPaths, digest_of
from jobs.letters.samples import OCCASION

PATHS = ReturnPaths.read("bounces@mail.example.com")
OLD, NEW = "old:" + "QUFB" * 10 + "QUE=", "new:" + "QkJC" * 10 + "QkI="
REFERENCE = b"0123456789abcdef0123456789abcdef"

ids = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.uuids().map(str),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=80),
)


@given(member=ids, number=st.integers(1, 2**32 - 1), slot=st.sampled_from(sorted(SLOTS)))
def test_whatever_the_id_the_sender_fits_and_says_which_letter_it_was(member: str, number: int, slot: str) -> None:
    sender = PATHS.sender(REFERENCE, number, member, slot)
    assert sender is not None
    local, _, domain = sender.partition("@")
    assert (len(local) <= 64, local.isascii(), local, domain) == (True, True, local.lower(), "mail.example.com")
    for spelled in (sender, sender.upper(), sender.title()):
        read = PATHS.parse(spelled)
        assert read is not None
        assert (read.number, read.slot, read.proof) == (number, slot, "0123456789abcd")
        assert read.member == member or (read.member is None and read.digest == digest_of(member) and len(member.encode()) > 16)


def test_the_longest_of_our_own_part_leaves_room_for_every_uuid() -> None:
    paths = ReturnPaths.read("undeliverabl@mail.example.com")
    sender = paths.sender(REFERENCE, 2**32 - 1, str(UUID(int=2**128 - 1)), "notice")
    assert sender is not None
    assert len(sender.partition("@")[0]) == 64


def test_a_number_beyond_all_room_has_no_sender_of_its_own() -> None:
    assert PATHS.sender(REFERENCE, 2**63 - 1, str(UUID(int=1)), "notice") is None
    assert PATHS.sender(REFERENCE, 1, "1", "unheard of") is None


@pytest.mark.parametrize(
    "address",
    [
        "bounces@mail.example.com",
        "bounces+@mail.example.com",
        "bounces+n1-i1@mail.example.com",
        "bounces+q1-i10123456789abcd@mail.example.com",
        "bounces+n1-z10123456789abcd@mail.example.com",
        "bounces+n1-t10123456789abcd@mail.example.com",
        "bounces+n1-u10123456789abcd@mail.example.com",
        "bounces+n1-i10123456789abcd@elsewhere.example.com",
        "somebody+n1-i10123456789abcd@mail.example.com",
        "",
        "@",
        "bounces+n1-i1٣0123456789abcd@mail.example.com",
    ],
)
def test_what_is_none_of_ours_is_not_read(address: str) -> None:
    assert PATHS.parse(address) is None


@pytest.mark.parametrize("unfit", ["bounces", "bounces+more@example.com", "much-too-long@example.com", "a b@example.com", "b@exa mple.com"])
def test_a_mailbox_that_leaves_no_room_is_refused_at_start(unfit: str) -> None:
    with pytest.raises(ValueError, match="must"):
        ReturnPaths.read(unfit)


def composer(ring: str, bounce_address: str | None) -> Composer:
    key = KeyRing.parse(ring).current(Purpose.MESSAGE_ID)
    return Composer(
        mail_from="Security <s@x.example>",
        app_url="https://x.example",
        message_id_key=key.secret,
        message_id_key_id=key.id,
        bounce_address=bounce_address,
    )


def a_sender(ring: str, member: str = "42", *, bounce_address: str | None = None) -> str:
    letter = composer(ring, bounce_address).compose(
        LetterKind.PROTECTED, OCCASION, Addressee(member_id=member, address="ada@example.com"), slot="notice", dated=datetime.now(UTC)
    )
    return letter.sender


def test_a_retry_has_the_same_sender_and_without_the_setting_it_is_ours() -> None:
    first, second = (a_sender(NEW, bounce_address="bounces@mail.example.com") for _ in range(2))
    assert first == second
    assert first != a_sender(NEW, "43", bounce_address="bounces@mail.example.com")
    assert a_sender(NEW) == "s@x.example"


def test_a_proof_holds_under_every_key_of_the_ring_and_under_no_other() -> None:
    sender = a_sender(OLD, bounce_address="bounces@mail.example.com")
    named = PATHS.parse(sender)
    assert named is not None

    def holds(ring: str, proof: str = named.proof, *, number: int = OCCASION.run_id, slot: str = "notice", member_id: str = "42") -> bool:
        return Proofs(KeyRing.parse(ring)).hold(proof, number=number, slot=slot, member_id=member_id)

    assert holds(OLD)
    assert holds(f"{NEW},{OLD}")
    assert not holds(NEW)
    assert not holds(OLD, member_id="43")
    assert not holds(OLD, slot="report")
    assert not holds(OLD, number=OCCASION.run_id + 1)
    assert not holds(OLD, named.proof[:13])


def test_every_slot_and_every_kind_is_known_on_the_way_back() -> None:
    assert set(SLOTS_OF_KIND) == set(LetterKind)
    assert {slot for slots in SLOTS_OF_KIND.values() for slot in slots} == set(SLOTS)
    assert len(set(SLOTS.values())) == len(SLOTS)
