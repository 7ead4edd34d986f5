"""The numbers that the second factor goes by, each with its source. Times are durations, counts are attempts of one member."""

from datetime import timedelta

PERIOD_SECONDS = 30
"""Seconds a code is shown (RFC 6238 4.1, 5.2)."""

DIGITS = 6

STEPS_BACK = 1
"""Steps before the current one that are accepted: one, for the time it takes to type (RFC 6238 5.2)."""

SECRET_BYTES = 20
"""160 bits (RFC 4226 4, R6)."""

PENDING_FOR = timedelta(minutes=10)
"""How long a factor that was begun waits for its first code."""

PENDING_TRIES = 10
"""Codes tried against one begun factor; then it is begun anew."""

FREE_FAILURES = 5
"""Failures in a row after which an attempt has to wait (NIST SP 800-63B-4 3.2.2)."""

FIRST_WAIT = timedelta(seconds=30)
"""The wait after `FREE_FAILURES`; each further failure doubles it."""

LONGEST_WAIT = timedelta(hours=1)

MOST_FAILURES = 100
"""Failures in a row after which the factor is disabled and must be bound again (NIST SP 800-63B-4 3.2.2)."""

RECOVERY_CODES = 10

RECOVERY_BITS = 120
"""Enough that a keyed hash without a salt holds and nobody needs to be slowed down (NIST SP 800-63B-4 3.1.2.2: 112, and 64)."""

TICKET_FOR = timedelta(minutes=10)
"""How long after a recovery code its member may bind, renew or remove a factor."""

DORMANT_AFTER = timedelta(days=90)
"""Time without a sign-in after which an account proves its address before it may enrol."""

PROOF_FOR = timedelta(hours=1)
"""How long a proved address counts."""
