"""A ticket for whoever has just used a recovery code: for ten minutes it stands in for a code of the lost factor.

It names the user, the factor that was bound at the time, and an end, and is signed by the ring. Binding a new factor makes it worthless,
because it names the old one. The main app keeps it in the member's session; nobody else ever sees it.
"""

import hmac
from datetime import datetime
from uuid import UUID

from jobs.keys import KeyRing, Purpose
from jobs.second_factor.rules import TICKET_FOR


def issue(keys: KeyRing, user_id: object, factor_id: UUID, now: datetime) -> str:
    """Return a ticket. `user_id` is the id as PostgreSQL gives it."""
    key = keys.current(Purpose.RECOVERY_TICKET)
    expires = int((now + TICKET_FOR).timestamp())
    return f"{key.id}.{factor_id.hex}.{expires}.{_signature(key.secret, key.id, user_id, factor_id, expires)}"


def is_good(keys: KeyRing, ticket: str, user_id: object, factor_id: UUID, now: datetime) -> bool:
    """Tell whether a ticket is ours, for this user and this factor, and has not expired."""
    key_id, _, rest = ticket.partition(".")
    _, _, rest = rest.partition(".")
    expires, _, signature = rest.partition(".")
    key = keys.find(key_id, Purpose.RECOVERY_TICKET)
    if key is None or not expires.isascii() or not expires.isdigit() or not signature.isascii():
        return False
    genuine = hmac.compare_digest(signature, _signature(key.secret, key_id, user_id, factor_id, int(expires)))
    return genuine and now.timestamp() < int(expires)


def _signature(key: bytes, key_id: str, user_id: object, factor_id: UUID, expires: int) -> str:
    named = "\0".join((key_id, str(user_id), factor_id.hex, str(expires)))
    return hmac.new(key, named.encode(), "sha256").hexdigest()
