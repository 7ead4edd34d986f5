"""Batches that were put aside: grouped by cause, one whole, and what to do with one, a group or all that fit a filter.

    which ─▶ a dry count ─▶ reason, typed confirmation, a cap ─▶ replayed or discarded

The count is part of the order: if it is another one by then, somebody acted meanwhile, and nothing is done.
"""

from http import HTTPStatus
from typing import Any

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import Response

from jobs.operators import Session
from jobs.store import steering
from jobs.store.steering import DeadTally, Selection
from jobs.store.steering.orders import carrying_out
from workers.console.doors import acting, viewers
from workers.console.live import Shown, watched
from workers.console.orders import confirm, done, in_words, order_of
from workers.console.pages import page
from workers.console.refusals import Refusal, malformed, not_found, stale
from workers.console.runs import read_number

BACK = "/dead"
ORDERS = ("replay", "discard")
CAP = 100
"""Batches at once, unless somebody says more: what was wrong may still be."""
HIGHEST_CAP = 10_000


@watched
async def groups(request: Request) -> Shown:
    """Show them by cause."""
    run_id = read_number(request.query_params.get("run"))
    async with request.app.state.pool.acquire() as db:
        found = await steering.list_dead_groups(db, run_id=run_id)
    return Shown(template="dead.html", values={"groups": found, "run_id": run_id})


@viewers
async def one(request: Request) -> Response:
    """Show one whole."""
    batch_id = request.path_params["batch_id"]
    with in_words(back=BACK):
        async with request.app.state.pool.acquire() as db:
            batch = await steering.show_dead(db, batch_id)
    return page(request, "dead_one.html", batch=batch)


@viewers
async def weigh(request: Request) -> Response:
    """Count what an order would act on, and ask for its reason."""
    which, what = _selection(request.query_params), _what(request.query_params)
    async with request.app.state.pool.acquire() as db:
        tally = await steering.count(db, which)
    if not tally.batches:
        raise not_found(
            "Nothing dead fits that", "It may have been replayed or discarded meanwhile; the list has all that are dead.", back=BACK
        )
    able = able_of(what, tally)
    return page(request, "dead_order.html", what=what, which=which, fields=_fields(which), tally=tally, able=able, cap=min(CAP, able or 1))


@acting
async def order(request: Request, session: Session, form: FormData) -> Response:
    """Carry it out."""
    which, what = _selection(form), _what(form)
    ordered = order_of(session, form, back=BACK)
    confirm(form, what, back=BACK)
    most = read_number(str(form.get("most", "")))
    if not most or most > HIGHEST_CAP:
        raise malformed(f"Nothing was done: the cap is a number from 1 to {HIGHEST_CAP:,}", back=BACK)
    carry_out = steering.replay if what == "replay" else steering.discard
    with in_words(back=BACK):
        async with carrying_out(request.app.state.pool) as db:
            tally = await steering.count(db, which)
            if str(form.get("seen", "")) != str(tally.batches):
                raise stale(
                    f"{tally.batches} batches fit by now, and this form was about {form.get('seen') or 'another number'}", back=BACK
                )
            acted_on = await carry_out(db, ordered, which, most=most)
    return done(BACK, "replayed" if what == "replay" else "discarded", len(acted_on))


def able_of(what: str, tally: DeadTally) -> int:
    """Return how many of the counted batches the order can do something about."""
    return tally.replayable if what == "replay" else tally.discardable


def _what(words: QueryParams | FormData) -> str:
    what = str(words.get("what", ""))
    if what not in ORDERS:
        raise malformed("Nothing was done: dead batches are replayed or discarded", back=BACK)
    return what


def _selection(words: QueryParams | FormData) -> Selection:
    given: dict[str, Any] = {
        "batch_id": read_number(str(words.get("batch", ""))),
        "fingerprint": str(words.get("fingerprint", "")) or None,
        "run_id": read_number(str(words.get("run", ""))),
        "everything": str(words.get("everything", "")) == "1",
    }
    for name, word in (("batch_id", "batch"), ("run_id", "run")):
        if words.get(word) and given[name] is None:
            raise Refusal(HTTPStatus.BAD_REQUEST, "malformed", f"That is no number of a {word}", "Choose from the list.", back=BACK)
    with in_words(back=BACK):
        return Selection(**given)


def _fields(which: Selection) -> dict[str, str]:
    """Return a selection as a form carries it."""
    fields = {"batch": which.batch_id, "fingerprint": which.fingerprint, "run": which.run_id, "everything": 1 if which.everything else None}
    return {name: str(value) for name, value in fields.items() if value is not None}
