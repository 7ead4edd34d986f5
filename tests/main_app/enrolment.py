"""Set up two-factor authentication, or replace it without a gap.

    start ─▶ begin: QR code and typed secret ─▶ confirm: recovery codes, once ─▶ back to work

Secrets are in the answer to a form, never behind an address that could be opened again.
"""

from typing import assert_never

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from jobs.second_factor import (
    Account,
    Begun,
    Confirmed,
    FirstFactor,
    FirstMethod,
    NothingPending,
    ProveAddress,
    Refused,
    begin,
    confirm,
    standing,
)
from tests.main_app.browsers import Session
from tests.main_app.configuration import PRODUCT
from tests.main_app.doors import any_session
from tests.main_app.origin import origin
from tests.main_app.pages import page
from tests.main_app.presence import SET_UP, word
from tests.main_app.sessions import EndOthers, wake

ACTIVITY = """
    SELECT (SELECT last_active_at FROM app.activity WHERE user_id = $1) AS last_active_at,
           (SELECT max(proved_at) FROM app.address_proofs WHERE session_id = $2) AS address_proved_at
"""


@any_session
async def start(request: Request, session: Session) -> Response:
    """Say what comes, with a button that begins it. A member who has a factor is asked to show it."""
    async with request.app.state.pool.acquire() as db:
        has = await standing(db, session.user_id)
    here = await word(request, session)
    shows_code = has.is_bound and session.ticket is None
    return page(request, "two_factor.html", is_required=here == SET_UP, presence=here, has=has, shows_code=shows_code, refused=False)


@any_session
async def show_secret(request: Request, session: Session) -> Response:
    """Begin a factor and show it, once."""
    typed = str((await request.form()).get("code", "")) or None
    async with request.app.state.pool.acquire() as db:
        member = FirstFactor(user_id=session.user_id, method=FirstMethod.SESSION)
        account = Account(issuer=PRODUCT, label=session.email or session.name, **await db.fetchrow(ACTIVITY, *_ids(session)))
        keys = request.app.state.configuration.keys
        begun = await begin(db, keys, member, account, code=typed, ticket=None if typed else session.ticket)
        has = await standing(db, session.user_id)
    here = await word(request, session)
    match begun:
        case Begun():
            return page(request, "two_factor_scan.html", presence=here, qr=Markup(begun.qr_svg()), begun=begun)
        case ProveAddress():
            return page(request, "prove_address.html", presence=here, is_mailed=False)
        case Refused():
            options = {"is_required": here == SET_UP, "presence": here, "has": has, "shows_code": True}
            return page(request, "two_factor.html", status=401, refused=True, **options)
        case _:
            assert_never(begun)


@any_session
async def check_first_code(request: Request, session: Session) -> Response:
    """Bind the factor by its first code; other sessions end, this one becomes a full one; recovery codes are shown, once."""
    typed = str((await request.form()).get("code", ""))
    async with request.app.state.pool.acquire() as db, db.transaction():
        member = FirstFactor(user_id=session.user_id, method=FirstMethod.SESSION)
        keys, keep = request.app.state.configuration.keys, EndOthers(keep=session.session_id)
        confirmed = await confirm(db, keys, member, typed, end_other_sessions=keep, origin=origin(request))
        if isinstance(confirmed, Confirmed):
            await wake(db, session.user_id)
    match confirmed:
        case Confirmed():
            return page(request, "recovery_codes.html", codes=confirmed.recovery.codes)
        case Refused():
            return page(request, "two_factor_again.html", status=401, presence=await word(request, session))
        case NothingPending():
            return page(request, "two_factor_over.html", status=409, presence=await word(request, session))
        case _:
            assert_never(confirmed)


def _ids(session: Session) -> tuple[int, int]:
    return session.user_id, session.session_id
