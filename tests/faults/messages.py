"""Messages that nobody should believe, and true ones at the wrong time: what somebody with access to Redis may put there."""

import json
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from dramatiq import Message

from jobs.keys import KeyRing
from jobs.routing import hint
from jobs.store.batches import Stage
from workers.broker.signed_encoder import SignedEncoder


def bad_ones(ring: KeyRing) -> list[bytes]:
    """Return one message of each kind that must end in the quarantine; each time others."""
    nonce = secrets.token_hex(8)
    encoder, stranger = SignedEncoder(ring), SignedEncoder(KeyRing.parse("faults:" + "A" * 43 + "="))
    good = encoder.encode(_message(nonce).asdict())
    return [
        b"\x80\x04pickled " + nonce.encode(),
        json.dumps(_message(nonce).asdict()).encode(),
        good[:-1] + b"!",
        good.replace(b"p1.", b"p9.", 1),
        good.replace(b"faults", b"nobody", 1),
        b"p1." + nonce.encode() * 2048,
        stranger.encode(_message(nonce).asdict()),
        encoder.encode({"nonce": nonce}),
        encoder.encode(_message(nonce, actor_name="drop_everything").asdict()),
        encoder.encode(_message(nonce, options={"on_success": _message(nonce).asdict()}).asdict()),
        encoder.encode(_message(nonce, queue_name="elsewhere").asdict()),
    ]


def _message(nonce: str, *, actor_name: str = "enforce_batch", queue_name: str = "enforce", options: dict[str, Any] | None = None) -> Any:
    return Message(
        queue_name=queue_name,
        actor_name=actor_name,
        args=(),
        kwargs={"run": 1, "batch": 1, "token": 0},
        options=options or {},
        message_id=nonce,
    )


def stale_and_double(ring: KeyRing, batches: Iterable[Any], random: Random) -> list[tuple[str, bytes]]:
    """Return well signed hints at batches as they are and as they were, several times, in any order: (queue, message)."""
    encoder = SignedEncoder(ring)
    hints = [
        hint(Stage(batch["stage"]), run=batch["run_id"], batch=batch["batch_id"], token=max(0, batch["token"] - age))
        for batch in batches
        for age in (0, 0, 1, 2)
    ]
    random.shuffle(hints)
    return [(one.queue_name, encoder.encode(one.asdict())) for one in hints]


def a_request(ring: KeyRing, *, organization: int, admin: int, request: UUID, minutes: float = 10) -> bytes:
    """Return what `enforce.send` would publish; the request is its own reason, so that its runs can be counted."""
    expires_at = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
    kwargs = {
        "organization_id": organization,
        "requested_by": admin,
        "request_id": str(request),
        "expires_at": expires_at,
        "reason": str(request),
    }
    message: Message[Any] = Message(queue_name="enforce", actor_name="enforce", args=(), kwargs=kwargs, options={})
    return SignedEncoder(ring).encode(message.asdict())
