"""The conductor and what it reconciles: what is due but not hinted, hints nobody took up, leases that ran out, PostgreSQL beside Redis."""

from starlette.requests import Request

from jobs.store.views import queues as views
from workers.console import state
from workers.console.live import Shown, watched

QUARANTINED = 20


@watched
async def reconciler(request: Request) -> Shown:
    """Show it."""
    seen = await state.look(request)
    async with request.app.state.pool.acquire() as db:
        quarantined = await views.list_quarantined(db, limit=QUARANTINED)
    return Shown(template="reconciler.html", values={"seen": seen, "quarantined": quarantined})
