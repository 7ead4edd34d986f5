"""Prove that an account that slept is still its owner's: follow a link that is mailed to its address, in the session that asked for it.

A stolen password must not enrol the thief: it opens a session, but no mailbox.
"""

import secrets
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import aiosmtplib
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tests.main_app.browsers import Session, digest
from tests.main_app.configuration import PRODUCT, Configuration
from tests.main_app.doors import SET_UP, any_session
from tests.main_app.pages import page
from tests.main_app.presence import word
from tests.main_app.sessions import wake

NOTE = """
    INSERT INTO app.address_proofs (token_digest, session_id)
    SELECT $1, $2 WHERE NOT EXISTS (
        SELECT FROM app.address_proofs WHERE session_id = $2 AND mailed_at > now() - interval '1 minute')
    RETURNING 1
"""
PROVE = """
    UPDATE app.address_proofs SET proved_at = now()
    WHERE token_digest = $1 AND session_id = $2 AND proved_at IS NULL AND mailed_at > now() - interval '1 hour'
    RETURNING 1
"""
BODY = """Hello {name},

somebody signed in to your {product} account with your password and wants to set up two-factor authentication. You have not been
here for a while, so we ask first: was it you?

Then open this page in the same browser, within an hour:
{link}

If it was not you, do not open it. Somebody knows your password: sign in yourself and change it.
"""


@any_session
async def mail_link(request: Request, session: Session) -> Response:
    """Mail a link to the account's own address, at most one a minute."""
    token = secrets.token_urlsafe(32)
    is_new = await request.app.state.pool.fetchval(NOTE, digest(token), session.session_id)
    if is_new and session.email:
        configuration: Configuration = request.app.state.configuration
        letter = _letter(configuration, session.name, session.email, f"{configuration.app_url}/two-factor/address/{token}")
        await aiosmtplib.send(letter, hostname=configuration.relay.host, port=configuration.relay.port, start_tls=False)
    return page(request, "prove_address.html", presence=await word(request, session), is_mailed=True)


@any_session
async def ask_whether(request: Request, session: Session) -> Response:
    """Show a button: a mail scanner that opens links must prove nothing."""
    return page(request, "address_link.html", presence=await word(request, session), refused=False)


@any_session
async def prove(request: Request, session: Session) -> Response:
    """Take the link's word, once, for this session."""
    async with request.app.state.pool.acquire() as db, db.transaction():
        if await db.fetchval(PROVE, digest(request.path_params["token"]), session.session_id):
            await wake(db, session.user_id)
            return RedirectResponse(SET_UP, 303)
    return page(request, "address_link.html", status=409, presence=await word(request, session), refused=True)


def _letter(configuration: Configuration, name: str, address: str, link: str) -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"] = configuration.mail_from, address
    letter["Subject"], letter["Date"] = f"{PRODUCT}: is this you?", formatdate()
    letter["Message-ID"], letter["Feedback-ID"] = make_msgid(domain="kestrel.example"), "address:app"
    letter.set_content(BODY.format(name=name, product=PRODUCT, link=link))
    return letter
