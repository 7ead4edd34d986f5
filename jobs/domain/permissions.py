"""What people may do in the console, and programs with its API."""

from enum import StrEnum


class Role(StrEnum):
    """Look, or look and act."""

    VIEWER = "viewer"
    OPERATOR = "operator"
