"""What the console refuses, in words. Raised anywhere, shown as a page; nothing was done, and it is written into the log."""

from http import HTTPStatus


class Refusal(Exception):  # noqa: N818 -- an answer, not an error of the program
    """`name` is for the log and never changes its meaning; `what` says what, `to_do` what to do, `back` leads on."""

    def __init__(self, status: HTTPStatus, name: str, what: str, to_do: str, *, back: str = "/") -> None:
        self.status, self.name, self.what, self.to_do, self.back = status, name, what, to_do, back
        super().__init__(what)


class SignInNeeded(Exception):  # noqa: N818 -- as above
    """Nobody is signed in, or not any more. `was_order`: something was ordered, and was not done."""

    def __init__(self, *, was_order: bool) -> None:
        self.was_order = was_order
        super().__init__()


def not_found(what: str, to_do: str, *, back: str = "/") -> Refusal:
    """Say that there is no such thing."""
    return Refusal(HTTPStatus.NOT_FOUND, "not_found", what, to_do, back=back)


def malformed(what: str, to_do: str = "Go back, correct it, and send it again.", *, back: str = "/") -> Refusal:
    """Say that what was typed can't be meant."""
    return Refusal(HTTPStatus.BAD_REQUEST, "malformed", what, to_do, back=back)


def stale(what: str, *, back: str = "/") -> Refusal:
    """Say that somebody acted meanwhile."""
    to_do = "Nothing was done. Look at how it is now, and decide again."
    return Refusal(HTTPStatus.CONFLICT, "stale", what, to_do, back=back)
