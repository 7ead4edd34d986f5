"""A message in the hands of this process, with the token that settles it."""

from typing import Any

from dramatiq import Message
from dramatiq.broker import MessageProxy


class Delivery(MessageProxy):
    """What dramatiq passes around. The token comes from Redis, not out of the message, where it could be forged or replayed."""

    def __init__(self, message: Message[Any], token: str) -> None:
        super().__init__(message)
        self.token = token
