"""Who gives an order on the command line, and what the orders have in common."""

import getpass
import os
from typing import Annotated, TypeAlias

from cyclopts import Parameter
from cyclopts.validators import Number

from jobs.store.steering import Order
from workers.cli.options import BIGGEST_ID

NUMBER = Number(gte=1, lte=BIGGEST_ID)

Why: TypeAlias = Annotated[str, Parameter(help="Why; recorded with your name for whoever asks later.")]


def an_order(reason: str, *, actor: str | None = None) -> Order:
    """Return an order of the person who typed it, or of `actor` where the verb names one.

    Raises:
        MalformedOrderError: The reason is blank or too long.
    """
    return Order(actor=actor or _user(), via="cli", reason=reason)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user needs no name
        return f"uid {os.getuid()}"
