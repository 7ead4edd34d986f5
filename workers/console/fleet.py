"""Worker processes: which version, when they were last heard of, how late their loop is, what they hold; and telling one to end."""

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from jobs.operators import Session
from jobs.store import steering
from workers.console import state
from workers.console.doors import acting
from workers.console.light import LAG_SECONDS
from workers.console.live import Shown, watched
from workers.console.orders import done, in_words, order_of
from workers.console.refusals import stale

BACK = "/workers"


@watched
async def workers(request: Request) -> Shown:
    """Show them."""
    seen = await state.look(request)
    versions = sorted({one.version for one in seen.workers if not one.is_silent})
    return Shown(template="workers.html", values={"seen": seen, "versions": versions, "late": LAG_SECONDS})


@acting
async def drain(request: Request, session: Session, form: FormData) -> Response:
    """Tell one to finish what it holds and end."""
    order, worker = order_of(session, form, back=BACK), str(form.get("worker", ""))
    with in_words(back=BACK):
        if not await steering.drain_worker(request.app.state.pool, order, worker):
            raise stale(f"Worker {worker} was told to drain meanwhile", back=BACK)
    return done(BACK, "draining")
