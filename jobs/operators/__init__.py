"""Operators: the people who sign in to the console. A password and a time-based code each, always both.

    invitation ─▶ begin: secret, QR ─▶ (scan, choose a password) ─▶ set up ─▶ signed in
    password and code ─▶ signed in

Rules and numbers are those of `jobs.second_factor`: an attempt is counted and committed before it is looked at, one conditional update
decides who spends a code's step, and whatever was wrong the answer is the same.
"""

from jobs.domain.permissions import Role
from jobs.operators.enrolling import Begun, PoorPasswordError, begin, secret_of, set_up
from jobs.operators.roster import Listed, add, list_operators, remove, reset
from jobs.operators.sessions import Session, SessionRules, Started, end, end_others, find, set_time_zone, sweep, sweep_for_ever
from jobs.operators.signing_in import SignIn, sign_in

__all__ = [
    "Begun",
    "Listed",
    "PoorPasswordError",
    "Role",
    "Session",
    "SessionRules",
    "SignIn",
    "Started",
    "add",
    "begin",
    "end",
    "end_others",
    "find",
    "list_operators",
    "remove",
    "reset",
    "secret_of",
    "set_time_zone",
    "set_up",
    "sign_in",
    "sweep",
    "sweep_for_ever",
]
