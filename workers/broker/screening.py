"""What may run: a rightly signed message of the right shape, for an allowed actor, on its own queue, without options.

dramatiq's options can start other actors (`on_success`, `pipe_target`), postpone (`eta`) or repeat; we use none of them, so a message
that has one was not published by us.
"""

from collections.abc import Mapping
from typing import Any, Final

from dramatiq import Actor, Message
from dramatiq.encoder import MessageData

from workers.broker.errors import UnpublishableError
from workers.broker.rejected import Reason, RejectedError
from workers.broker.signed_encoder import SignedEncoder

FIELDS: Final[Mapping[str, type]] = {
    "queue_name": str,
    "actor_name": str,
    "args": list,
    "kwargs": dict,
    "options": dict,
    "message_id": str,
    "message_timestamp": int,
}


class Screening:
    """The same rules for what leaves and for what comes in.

    `actors` is the broker's own registry and grows as actors are declared; `allowed` never changes.
    """

    def __init__(self, *, encoder: SignedEncoder, actors: Mapping[str, Actor[Any, Any]], allowed: frozenset[str]) -> None:
        self._encoder = encoder
        self._actors = actors
        self._allowed = allowed

    def admit(self, data: bytes, queue: str) -> Message[Any]:
        """Read a message that was found on `queue`.

        Raises:
            RejectedError: It must not run.
        """
        fields = self._encoder.decode(data)
        if not _is_message(fields):
            raise RejectedError(Reason.UNREADABLE, data)
        message: Message[Any] = Message(**fields)
        if (reason := self._objection(message, queue)) is not None:
            raise RejectedError(reason, data)
        return message

    def seal(self, message: Message[Any]) -> bytes:
        """Return the bytes to publish.

        Raises:
            UnpublishableError: No worker would run it, or it does not fit.
        """
        if message.actor_name not in self._allowed:
            raise UnpublishableError(f"actor {message.actor_name!r} is not on the allow-list; workers would quarantine its messages")
        if message.options:
            raise UnpublishableError(f"options {sorted(message.options)} are not used here; workers would quarantine the message")
        return self._encoder.encode(message.asdict())

    def _objection(self, message: Message[Any], queue: str) -> Reason | None:
        actor = self._actors.get(message.actor_name)
        if message.queue_name != queue:
            return Reason.WRONG_QUEUE
        if actor is None:
            return Reason.UNKNOWN_ACTOR
        if message.actor_name not in self._allowed or actor.queue_name != queue:
            return Reason.FORBIDDEN_ACTOR
        return Reason.FORBIDDEN_OPTIONS if message.options else None


def _is_message(fields: MessageData) -> bool:
    return fields.keys() == FIELDS.keys() and all(type(fields[name]) is kind for name, kind in FIELDS.items())
