"""Whether a report names a letter that its author has seen: the letter's reference (an HMAC), or the first digits of it, says so."""

from hmac import compare_digest

from jobs.keys import KeyRing, Purpose
from jobs.letters.message_ids import MessageIds
from jobs.letters.return_paths import PROOF_DIGITS


class Proofs:
    """Checks references under every key of a ring: a letter may come back after its key was followed by another."""

    def __init__(self, ring: KeyRing) -> None:
        subkeys = [ring.find(key.id, Purpose.MESSAGE_ID) for key in ring.keys]
        self._ids = [MessageIds(key=key.secret, key_id=key.id, domain="any") for key in subkeys if key is not None]

    def hold(self, proof: str, *, number: int, slot: str, member_id: str) -> bool:
        """Say whether `proof` begins this letter's reference, and is long enough to."""
        if len(proof) < PROOF_DIGITS:
            return False
        given = proof.lower().encode()
        return any(compare_digest(ids.reference(number, member_id, slot)[: len(given)], given) for ids in self._ids)
