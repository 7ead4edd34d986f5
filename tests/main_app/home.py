"""What people are at work on: a page that is worth being signed in for."""

from starlette.requests import Request
from starlette.responses import Response

from tests.main_app.browsers import Session
from tests.main_app.doors import full_session
from tests.main_app.pages import page
from tests.main_app.presence import FULL

ORGANIZATIONS = """
    SELECT o.organization_id, o.name, (a.user_id IS NOT NULL) AS is_admin
    FROM app.memberships m JOIN app.organizations o USING (organization_id)
    LEFT JOIN app.admins a ON a.organization_id = m.organization_id AND a.user_id = m.user_id
    WHERE m.user_id = $1 ORDER BY o.name
"""


@full_session
async def home(request: Request, session: Session) -> Response:
    """Show it."""
    organizations = await request.app.state.pool.fetch(ORGANIZATIONS, session.user_id)
    return page(request, "home.html", presence=FULL, organizations=organizations)
