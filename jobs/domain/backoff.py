"""How long to wait before trying again. Luck is passed in, a number from 0 to below 1, so that the rules are tables."""

MINUTE = 60.0
HOUR = 60 * MINUTE

LADDER = (1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 1 * HOUR, 2 * HOUR, 4 * HOUR)
"""Seconds until a letter is tried again that the recipient's side deferred; the last step repeats."""

PATIENCE = 48 * HOUR
"""How long a letter is tried at all."""

HOLD = 10 * MINUTE
"""How long a deferred letter holds its run."""


def full_jitter(attempt: int, luck: float, *, first_seconds: float, most_seconds: float) -> float:
    """Return a uniformly random wait below an exponentially rising bound.

    `attempt` counts from 1. (M. Brooker, "Exponential Backoff And Jitter": full jitter.)
    """
    bound = min(most_seconds, first_seconds * 2.0 ** min(attempt - 1, 30))
    return bound * luck


def next_rung(failures: int, luck: float) -> float:
    """Return the seconds until the next try after `failures` (from 1) deferrals, within a quarter of the ladder's step."""
    return LADDER[min(failures, len(LADDER)) - 1] * (0.75 + 0.5 * luck)


def time_spent(failures: int) -> float:
    """Return the seconds, without jitter, from the first try to the one after `failures` deferrals."""
    steps = LADDER[:failures] + LADDER[-1:] * max(0, failures - len(LADDER))
    return sum(steps)
