"""One member: search by id or address, then everything that was decided about them and written to them, and why. Addresses are masked."""

from http import HTTPStatus
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jobs.store.ids import IdTypes, MalformedIdError, MemberId
from jobs.store.views import members as views
from jobs.store.views.members import Membership, TooSlowError
from workers.console.doors import viewers
from workers.console.pages import page
from workers.console.refusals import not_found

LONGEST_QUERY = 320


@viewers
async def search(request: Request) -> Response:
    """Ask whom, or lead to them."""
    asked = request.query_params.get("q", "").strip()[:LONGEST_QUERY]
    if not asked or "\0" in asked:
        return page(request, "members.html", asked=asked, found=[], fault="")
    pool = request.app.state.pool
    if "@" in asked:
        try:
            found = await views.find_by_address(pool, asked)
        except TooSlowError:
            fault = "The main app can't find people by address within two seconds: it has no index on them. Search by id."
            return page(request, "members.html", answer=HTTPStatus.GATEWAY_TIMEOUT, asked=asked, found=[], fault=fault)
    else:
        found = await _by_id(request, asked)
    if len(found) == 1:
        return RedirectResponse(f"/members/{quote(found[0], safe='')}", HTTPStatus.SEE_OTHER)
    fault = "" if found else "Nobody in the directory has this id or address."
    return page(request, "members.html", answer=HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, asked=asked, found=found, fault=fault)


@viewers
async def member(request: Request) -> Response:
    """Show one."""
    pool, user_id = request.app.state.pool, request.path_params["user_id"]
    known = await _member_id(request, user_id)
    memberships = await views.find(pool, known) if known is not None else []
    if known is None or not memberships:
        raise not_found(f"The directory knows nobody with the id {user_id}", "Search again, by id or address.", back="/members")
    letters = await views.list_letters(pool, known, [one.organization_id for one in memberships])
    events = await views.list_events(pool, known)
    reasons = {one.organization_id: why(one) for one in memberships}
    return page(request, "member.html", user_id=user_id, memberships=memberships, letters=letters, events=events, reasons=reasons)


def why(member: Membership) -> str:  # noqa: PLR0911 -- a rule a line
    """Say which rule gives the verdict on somebody, in the order in which the rules are asked. Null facts count as the stricter case."""
    match member.verdict:
        case "inactive":
            return "The account is not active, so it is left alone and gets no letter."
        case "sso":
            return "There is no password, and an identity provider vouches for them: they don't use the app's own credentials."
        case "protected":
            return "There is a confirmed second factor."
        case "exempt":
            return f"Kind {member.kind!r} is exempted by the organization's policy."
        case _ if member.has_password is False:
            return "There is neither a password nor SSO nor a confirmed second factor: what can't be told apart is not protected."
        case _ if member.has_sso:
            return "There is a password beside SSO, and no confirmed second factor: the password is a way round."
        case _:
            return "A password is enough to sign in, and there is no confirmed second factor."


async def _by_id(request: Request, text: str) -> list[str]:
    known = await _member_id(request, text)
    return [str(known)] if known is not None and await views.find(request.app.state.pool, known) else []


async def _member_id(request: Request, text: str) -> MemberId | None:
    try:
        return (await IdTypes.read(request.app.state.pool)).to_member(text)
    except MalformedIdError:
        return None
