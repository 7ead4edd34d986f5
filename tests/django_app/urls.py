"""One page of the app's own, behind a login; the rest is allauth's."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.urls import include, path


@login_required(login_url="account_login")
def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"Hello {request.user.email}", content_type="text/plain")


urlpatterns = [
    path("", home, name="home"),
    path("accounts/", include("allauth.urls")),
]
