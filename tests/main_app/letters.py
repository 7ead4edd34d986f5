"""Is this letter genuine? What we have sent to whoever asks, once they are signed in; to everybody, how to tell.

Open to somebody who has yet to enrol: they are the ones who just got a letter that says so.
"""

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from tests.main_app.pages import page
from tests.main_app.presence import word

if TYPE_CHECKING:
    from tests.main_app.configuration import Configuration

SENT = """
    SELECT letter, changed_at, recipient, organization_name
    FROM (
        SELECT d.letter, d.changed_at, d.recipient, r.organization_name
        FROM app.memberships m
        JOIN portcullis.run r ON r.organization_id = m.organization_id
        JOIN portcullis.delivery d ON d.run_id = r.run_id AND d.slot IN ('notice', 'lifted', 'report') AND d.member_id = m.user_id
        WHERE m.user_id = $1 AND d.state IN ('sending', 'accepted', 'uncertain')
        UNION ALL
        SELECT f.letter, f.changed_at, u.email, NULL
        FROM portcullis.factor_letter f JOIN app.users u ON u.user_id = f.user_id
        WHERE f.user_id = $1 AND f.state IN ('sending', 'accepted', 'uncertain')
        UNION ALL
        SELECT 'address', p.mailed_at, u.email, NULL
        FROM app.sessions s JOIN app.address_proofs p ON p.session_id = s.session_id JOIN app.users u ON u.user_id = s.user_id
        WHERE s.user_id = $1
    ) sent
    ORDER BY changed_at DESC LIMIT 20
"""

WORDS = {
    "signed_out": "You were signed out: set up two-factor authentication",
    "protected": "Two-factor authentication is required now, and you have it",
    "single_sign_on": "Two-factor authentication is required now; nothing changes for you",
    "exempt": "Two-factor authentication is required now, but not of you",
    "report": "Report on the requirement that you switched on",
    "lifted": "Two-factor authentication is no longer required",
    "factor_added": "Two-factor authentication was set up",
    "factor_removed": "Two-factor authentication was taken off",
    "factor_reset": "Two-factor authentication was reset by an administrator",
    "address": "Somebody signed in and wants to set up two-factor authentication: was it you?",
    "recovery_used": "A recovery code was used",
}


async def genuine(request: Request) -> Response:
    """Show it."""
    session = request.scope["browser"].session
    sent = await request.app.state.pool.fetch(SENT, session.user_id) if session else []
    configuration: Configuration = request.app.state.configuration
    return page(
        request,
        "genuine.html",
        presence=await word(request, session),
        sent=sent,
        words=WORDS,
        sender=configuration.mail_from,
        app_url=configuration.app_url,
    )
