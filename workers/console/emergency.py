"""Emergency stop: one run, one organization, all letters, everything. Nothing is lost by it, and the gate stands meanwhile."""

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from jobs.operators import Session
from jobs.store import steering
from jobs.store.steering import Pause, PauseScope
from jobs.store.steering.orders import carrying_out
from workers.console.doors import acting
from workers.console.live import Shown, watched
from workers.console.orders import as_seen, confirm, done, in_words, order_of
from workers.console.refusals import malformed, stale
from workers.console.state import name_of

BACK = "/emergency"
STOP = "stop"
CHOICES = {
    "letters": (PauseScope.QUEUE, "notify"),
    "sessions": (PauseScope.QUEUE, "enforce"),
    "everything": (PauseScope.EVERYTHING, ""),
}
"""What needs no name."""


@watched
async def emergency(request: Request) -> Shown:
    """Show what is stopped and what can be."""
    async with request.app.state.pool.acquire() as db:
        pauses = await steering.list_pauses(db)
    shown = [(pause, name_of(pause), pause.paused_at.isoformat()) for pause in pauses]
    return Shown(template="emergency.html", values={"pauses": shown})


@acting
async def stop(request: Request, session: Session, form: FormData) -> Response:
    """Stop it."""
    order = order_of(session, form, back=BACK)
    confirm(form, STOP, back=BACK)
    scope, subject = _target(form)
    with in_words(back=BACK):
        if not await steering.pause(request.app.state.pool, order, scope, subject):
            raise stale("That is stopped already", back=BACK)
    return done(BACK, "stopped")


@acting
async def resume(request: Request, session: Session, form: FormData) -> Response:
    """Let it go on."""
    order = order_of(session, form, back=BACK)
    try:
        scope = PauseScope(str(form.get("scope", "")))
    except ValueError:
        raise malformed("Nothing was done: there is no such pause", back=BACK) from None
    subject = str(form.get("subject", ""))
    with in_words(back=BACK):
        async with carrying_out(request.app.state.pool) as db:
            as_seen(form, _paused_at(await steering.list_pauses(db), scope, subject), back=BACK)
            if not await steering.resume(db, order, scope, subject):
                raise stale("That is not stopped, or not any more", back=BACK)
    return done(BACK, "resumed")


def _target(form: FormData) -> tuple[PauseScope, str]:
    what, subject = str(form.get("what", "")), str(form.get("subject", "")).strip()
    if what in CHOICES:
        return CHOICES[what]
    if what not in (PauseScope.RUN, PauseScope.ORGANIZATION):
        raise malformed("Nothing was done: choose what to stop", back=BACK)
    if not subject:
        raise malformed(f"Nothing was done: say which {what}", back=BACK)
    return PauseScope(what), subject


def _paused_at(pauses: list[Pause], scope: PauseScope, subject: str) -> str:
    return next((one.paused_at.isoformat() for one in pauses if (one.scope, one.subject) == (scope, subject)), "never")
