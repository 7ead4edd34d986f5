"""A second factor for main apps that have none: a library over PostgreSQL, without a web framework.

    begin ─▶ confirm            bind a factor, or replace one without a gap
    asks, verify, recover       sign in
    remove, reset               take it away: the member, an admin
    renew_recovery_codes, standing, rotate

Every function takes an asyncpg connection. Those that look at a *code* must be called outside of a transaction: an attempt is counted and
committed before it is looked at, and your rollback would forget it. All others are a part of your transaction if you have one open.

    shown = FirstFactor(user_id=user, method=FirstMethod.PASSWORD)        # the password was right, just now
    match await verify(db, keys, shown, typed):
        case Accepted(): ...                                              # now the login transaction
        case Refused(): ...                                               # show `Refused.advice`

    async with db.transaction(isolation="read_committed"):                # the login transaction
        requirement = await client.sign_in_requirement(db, user, started_with="password")
        if await asks(db, user) and not is_accepted: ...                  # ask for a code, write no session
"""

from jobs.second_factor.answers import (
    Accepted,
    Begun,
    Confirmed,
    NothingPending,
    ProveAddress,
    Recovered,
    RecoveryCodes,
    Refused,
    Removed,
    StillRequired,
)
from jobs.second_factor.enrolment import begin, confirm
from jobs.second_factor.errors import (
    InTransaction,
    LastAdmin,
    NoFactor,
    NoReason,
    NotInTransaction,
    NotTheirOrganization,
    OwnFactor,
    SecondFactorError,
)
from jobs.second_factor.member import Account, FirstFactor, FirstMethod, Origin
from jobs.second_factor.numbers import Numbers, numbers
from jobs.second_factor.recovery import recover, renew_recovery_codes
from jobs.second_factor.removal import remove
from jobs.second_factor.resetting import Reset, reset
from jobs.second_factor.rotation import Progress, count_left, rotate
from jobs.second_factor.session_ends import EndSessions, end_everywhere
from jobs.second_factor.standing import Standing, asks, standing
from jobs.second_factor.verification import verify

__all__ = [
    "Accepted",
    "Account",
    "Begun",
    "Confirmed",
    "EndSessions",
    "FirstFactor",
    "FirstMethod",
    "InTransaction",
    "LastAdmin",
    "NoFactor",
    "NoReason",
    "NotInTransaction",
    "NotTheirOrganization",
    "NothingPending",
    "Numbers",
    "Origin",
    "OwnFactor",
    "Progress",
    "ProveAddress",
    "Recovered",
    "RecoveryCodes",
    "Refused",
    "Removed",
    "Reset",
    "SecondFactorError",
    "Standing",
    "StillRequired",
    "asks",
    "begin",
    "confirm",
    "count_left",
    "end_everywhere",
    "numbers",
    "recover",
    "remove",
    "renew_recovery_codes",
    "reset",
    "rotate",
    "standing",
    "verify",
]
