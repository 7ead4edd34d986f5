"""Errors, sorted by what the worker should do. Whatever is none of these is weather or a fault, and is tried again with backoff."""


class Obsolete(Exception):  # noqa: N818 -- named by what happens next, not by what went wrong
    """No longer wanted: finish quietly. The run was cancelled, superseded or paused, or somebody else holds the claim now."""

    def __init__(self, batch_id: int) -> None:
        self.batch_id = batch_id
        super().__init__(f"batch {batch_id} is no longer ours; nothing was written, nothing needs doing")


class Broken(Exception):  # noqa: N818 -- as above
    """No retry can help: keep it for a human, with the reason."""

    def __init__(self, batch_id: int, reason: str) -> None:
        self.batch_id, self.reason = batch_id, reason
        super().__init__(f"batch {batch_id} can't be done: {reason}")


class Deferred(Exception):  # noqa: N818 -- as above
    """Due later, and not an attempt: a limit, a breaker, or a shutdown."""

    def __init__(self, batch_id: int, seconds: float, reason: str | None = None) -> None:
        self.batch_id, self.seconds, self.reason = batch_id, seconds, reason
        super().__init__(f"batch {batch_id} is due again in {seconds:.1f} s: {reason or 'it waits'}")
