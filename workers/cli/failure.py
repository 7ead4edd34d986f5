"""The one exception that a verb ends with: what a person can be told, without a traceback."""

from collections.abc import Sequence
from typing import Any

from workers.cli.exit_codes import ExitCode


class Failure(Exception):  # noqa: N818 -- the end of a command, not an error of the program
    """A command could not be carried out.

    `what` says what and where, `details` list it, `to_do` says what to do about it. `name` is for scripts; it never changes its meaning.
    """

    def __init__(self, code: ExitCode, name: str, what: str, to_do: str | None = None, details: Sequence[str] = ()) -> None:
        self.code, self.name, self.what, self.to_do, self.details = code, name, what, to_do, list(details)
        super().__init__(what)

    def as_json(self) -> dict[str, Any]:
        """Return the document that `--json` prints instead of a result."""
        told = {"name": self.name, "exit_code": int(self.code), "what": self.what, "to_do": self.to_do, "details": self.details}
        return {"error": told}

    def as_lines(self) -> list[str]:
        """Return the lines for a person."""
        to_do = [f"  What to do: {self.to_do}"] if self.to_do else []
        return [f"portcullis: {self.what}", *(f"  - {detail}" for detail in self.details), *to_do]
