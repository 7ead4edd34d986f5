"""What operators are called. One spelling each, so that nobody is two people or looks like somebody else."""

import re

NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}", re.ASCII)
"""As the table's CHECK has it."""


def read_name(typed: object) -> str | None:
    """Return a name as it is kept, whatever its case was; `None`: it can't be one."""
    if not isinstance(typed, str):
        return None
    name = typed.strip().lower()
    return name if NAME.fullmatch(name) else None
