"""What a login writes down: how the session was made, and whether it may do nothing but enrol.

allauth keeps the method in the session's blob, which SQL can't read, so it is copied to `UserSession.data`, which is there for
the app's own use. Both facts are what `directory.session` shows to Portcullis.
"""

from allauth.account.authentication import get_authentication_records
from allauth.account.signals import password_changed, password_set, user_logged_in
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.dispatch import receiver
from django.http import HttpRequest


def started_with(request: HttpRequest, user: User) -> str | None:
    """The last method that opened the session. None: allauth recorded none, which Portcullis counts as a password."""
    for record in reversed(get_authentication_records(request, user)):
        if record["method"] != "mfa" and not record.get("reauthenticated"):
            return "sso" if record["method"] == "socialaccount" else record["method"]
    return None


def restrict_to_enrolment_if_required(request: HttpRequest, user: User) -> bool:
    """Ask Portcullis what this sign-in needs and mark the session with the answer. True: it may only enrol.

    One transaction, which during a login is the view's (ATOMIC_REQUESTS): `sign_in_requirement` holds a shared lock per
    organization until it ends. A switch that commits later therefore finds the session; one that committed before was seen here.
    """
    how = started_with(request, user)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select portcullis.sign_in_requirement(%s, %s)", [user.pk, how])
        enrolment_only = cursor.fetchone() != ("none",)
        UserSession.objects.filter(session_key=request.session.session_key).update(
            data={"started_with": how, "enrolment_only": enrolment_only}
        )
    return enrolment_only


# A new password gives the session a new key, and with it a new and empty UserSession.
@receiver([user_logged_in, password_changed, password_set])
def on_login(sender: type[User], request: HttpRequest, user: User, **_: object) -> None:
    restrict_to_enrolment_if_required(request, user)


@receiver(authenticator_added)
def on_factor_added(sender: type, request: HttpRequest, user: User, authenticator: Authenticator, **_: object) -> None:
    """End the member's other sessions (ASVS 7.4.3): a thief's must not outlive the owner's enrolment."""
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        return
    for session in UserSession.objects.filter(user=user).exclude(session_key=request.session.session_key):
        session.end()
