"""Ask the gate before every view, and lead whoever needs a second factor to allauth's page for it."""

from collections.abc import Callable

from allauth.usersessions.models import UserSession
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from tests.django_app.sign_in import restrict_to_enrolment_if_required

ENROLMENT = frozenset(
    {
        "mfa_activate_totp",
        "account_reauthenticate",
        "mfa_reauthenticate",
        "mfa_index",  # where allauth says that an address must be confirmed first
        "account_confirm_email",
        "account_logout",
    }
)
"""The views that a session without a required factor may still see."""


class GateMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        if not request.user.is_authenticated or request.resolver_match.view_name in ENROLMENT:
            return None
        return redirect("mfa_activate_totp") if must_enrol(request) else None


def must_enrol(request: HttpRequest) -> bool:
    session = UserSession.objects.filter(session_key=request.session.session_key).first()
    facts = session.data if session else {}
    if facts.get("enrolment_only"):
        # Enrolling or a lift may have changed the answer. Freeing the session is a sign-in once more, so it asks as one does.
        return restrict_to_enrolment_if_required(request, request.user)
    with connection.cursor() as cursor:
        # A session of allauth's is good for all of the user's organizations, so it is asked for all of them: null.
        cursor.execute("select portcullis.gate(%s, null, %s)", [request.user.pk, facts.get("started_with")])
        return cursor.fetchone() != ("none",)
