"""Sending limits and breakers: what holds, how much of it is spent, what waits for it; changed and closed while mail goes out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from jobs.operators import Session
from jobs.store import steering
from jobs.store.database import Connection
from jobs.store.steering import Breaker, LimitScope, SendLimit
from jobs.store.steering.orders import carrying_out
from jobs.store.views import queues as views
from workers.console import budget
from workers.console.budget import Budget
from workers.console.doors import acting
from workers.console.live import Shown, watched
from workers.console.orders import as_seen, done, in_words, order_of
from workers.console.redis_look import Spent
from workers.console.refusals import malformed, stale

BACK = "/limits"
ORGANIZATIONS = 20
DOMAINS = 20
BURST_SECONDS = 1.0
"""A rate may be taken of a second beforehand; then whoever wants more waits."""
QUOTA_STOPS_AT = 0.95
HOLDS = {"": None, "15": timedelta(minutes=15), "60": timedelta(hours=1), "480": timedelta(hours=8)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitLine:
    """One limit. `used` is a share of it, from 0 to 1; `None`: nobody can say. `waiting`: letters that it may be holding back.

    `own`: what somebody set, for this one or for every one; `seen`: what a form that sets this one carries.
    """

    scope: LimitScope
    subject: str
    name: str
    amount: float
    used: float | None
    used_text: str
    waiting: int | None
    own: SendLimit | None

    @property
    def seen(self) -> str:
        """When this one, and not every one, was set."""
        return _set_at(self.own if self.own and self.own.subject == self.subject else None)


@watched
async def limits(request: Request) -> Shown:
    """Show them."""
    async with request.app.state.pool.acquire() as db:
        holds = await budget.read(db, request.app.state.settings)
        waiting = await views.count_letters(db, limit=ORGANIZATIONS)
        breakers = await steering.list_breakers(db)
    spent = await request.app.state.redis.spent(holds.relays)
    total = sum(one.letters for one in waiting)
    values = {
        "lines": _lines(holds, spent, {one.organization_id: (one.organization_name, one.letters) for one in waiting}, total),
        "breakers": breakers,
        "openings": _openings(breakers),
        "scopes": list(LimitScope),
        "is_known": spent.is_known,
        "holds": list(HOLDS),
    }
    return Shown(template="limits.html", values=values)


@acting
async def set_limit(request: Request, session: Session, form: FormData) -> Response:
    """Set one, from the next letters on."""
    order, scope, subject = order_of(session, form, back=BACK), _scope(form), str(form.get("subject", "")).strip()
    amount = _amount(str(form.get("amount", "")))
    with in_words(back=BACK):
        async with carrying_out(request.app.state.pool) as db:
            if "seen" in form:
                as_seen(form, _set_at(await _own(db, scope, subject)), back=BACK)
            await steering.set_limit(db, order, scope, subject, amount)
    return done(BACK, "set")


@acting
async def clear_limit(request: Request, session: Session, form: FormData) -> Response:
    """Let the configured one hold again."""
    order, scope, subject = order_of(session, form, back=BACK), _scope(form), str(form.get("subject", "")).strip()
    with in_words(back=BACK):
        async with carrying_out(request.app.state.pool) as db:
            as_seen(form, _set_at(await _own(db, scope, subject)), back=BACK)
            await steering.clear_limit(db, order, scope, subject)
    return done(BACK, "cleared")


@acting
async def close_breaker(request: Request, session: Session, form: FormData) -> Response:
    """Close one, and hold it closed for a while if asked to."""
    order, held = order_of(session, form, back=BACK), str(form.get("hold", ""))
    if held not in HOLDS:
        raise malformed("Nothing was done: choose one of the times", back=BACK)
    scope, subject = str(form.get("scope", "")), str(form.get("subject", ""))
    with in_words(back=BACK):
        async with carrying_out(request.app.state.pool) as db:
            await steering.close_breaker(db, order, scope, subject, hold=HOLDS[held])
            if form.get("seen") != _openings(await steering.list_breakers(db)).get((scope, subject)):
                raise stale(f"The breaker {scope} {subject} opened again after this form was made", back=BACK)
    return done(BACK, "closed")


def _lines(holds: Budget, spent: Spent, waiting: dict[str, tuple[str | None, int]], total: int) -> list[LimitLine]:
    lines = [_line(holds, spent, LimitScope.RELAY, relay, total) for relay in holds.relays]
    lines += [_quota(holds, spent, relay, total) for relay in holds.relays]
    lines += [_line(holds, spent, LimitScope.ORGANIZATION, one, letters, name or "") for one, (name, letters) in waiting.items()]
    busy = sorted((-ahead, name) for (kind, name), ahead in spent.ahead.items() if kind == LimitScope.DOMAIN)
    lines += [_line(holds, spent, LimitScope.DOMAIN, name, None) for _, name in busy[:DOMAINS]]
    shown = {(one.scope, one.subject) for one in lines}
    return [*lines, *(_idle(own) for key, own in sorted(holds.own.items()) if key not in shown)]


def _line(holds: Budget, spent: Spent, scope: LimitScope, subject: str, waiting: int | None, name: str = "") -> LimitLine:  # noqa: PLR0917 -- a row of a table
    amount, ahead = holds.amount(scope, subject), spent.ahead.get((scope, subject), 0.0)
    used = min(1.0, ahead / BURST_SECONDS) if amount and spent.is_known else None
    text = "" if used is None else "spent" if ahead >= BURST_SECONDS else f"{used:.0%} of a second's worth"
    own = holds.own_of(scope, subject)
    return LimitLine(scope=scope, subject=subject, name=name or subject, amount=amount, used=used, used_text=text, waiting=waiting, own=own)


def _idle(own: SendLimit) -> LimitLine:
    """Return a limit that somebody set and that nothing is known to be spent of."""
    name = own.subject or "every one"
    return LimitLine(scope=own.scope, subject=own.subject, name=name, amount=own.amount, used=None, used_text="", waiting=None, own=own)


def _quota(holds: Budget, spent: Spent, relay: str, waiting: int) -> LimitLine:
    amount, sent = holds.amount(LimitScope.QUOTA, relay), spent.day.get(relay, 0)
    used = min(1.0, sent / (amount * QUOTA_STOPS_AT)) if amount and spent.is_known else None
    text = "" if used is None else f"{sent:,} of {amount * QUOTA_STOPS_AT:,.0f} in 24 hours"
    own = holds.own_of(LimitScope.QUOTA, relay)
    return LimitLine(scope=LimitScope.QUOTA, subject=relay, name=relay, amount=amount, used=used, used_text=text, waiting=waiting, own=own)


async def _own(db: Connection, scope: LimitScope, subject: str) -> SendLimit | None:
    return next((one for one in await steering.list_limits(db) if (one.scope, one.subject) == (scope, subject)), None)


def _set_at(own: SendLimit | None) -> str:
    return own.set_at.isoformat() if own else "never"


def _openings(breakers: Sequence[Breaker]) -> dict[tuple[str, str], str]:
    """Return when each breaker opened last, whoever saw it, as a form carries it."""
    return {(one.scope, one.subject): one.opened_at.isoformat() for one in sorted(breakers, key=lambda one: one.opened_at)}


def _scope(form: FormData) -> LimitScope:
    try:
        return LimitScope(str(form.get("scope", "")))
    except ValueError:
        raise malformed("Nothing was done: there is no such limit", back=BACK) from None


def _amount(text: str) -> float:
    try:
        amount = float(text.replace(",", ""))
    except ValueError:
        amount = math.nan
    if not math.isfinite(amount) or amount < 0:
        raise malformed("Nothing was done: a limit is a number from 0 on, and 0 is no limit", back=BACK)
    return amount
