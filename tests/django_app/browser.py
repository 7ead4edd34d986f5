"""A person's browser, on allauth's own pages. Nothing here writes to the database; the views do.

Methods raise `AssertionError` when a page does not answer as it should.
"""

import re
from dataclasses import dataclass, field
from zlib import crc32

import pyotp
from django.core import mail
from django.test import Client

PASSWORD = "correct horse battery staple"
HOME = "/"
SIGN_IN = "/accounts/login/"
REAUTHENTICATE = "/accounts/reauthenticate/"
"""Where the set-up begins: allauth asks for the password again."""
SET_UP = "/accounts/2fa/totp/activate/"
ACCOUNTS = "/accounts"


def sign_up(email: str) -> None:
    """Make an account with a password and confirm its address through the link in allauth's mail."""
    client = Client()
    client.post(f"{ACCOUNTS}/signup/", {"email": email, "password1": PASSWORD, "password2": PASSWORD})
    letter = next(letter for letter in reversed(mail.outbox) if letter.to == [email])
    link = re.search(r"http://testserver(\S+)", letter.body)
    assert link, letter.body
    assert client.post(link[1]).status_code == 302


@dataclass(slots=True, kw_only=True)
class Browser:
    """One client of one person, signed in or not. `secret` is what their authenticator app holds, once it holds one."""

    email: str
    secret: str | None = None
    client: Client = field(default_factory=Client)

    def sign_in(self) -> None:
        """Sign in with the password, and with a code where allauth asks for one."""
        asked = self.client.post(f"{ACCOUNTS}/login/", {"login": self.email, "password": PASSWORD})
        assert asked.status_code == 302, asked.content
        if asked.url.startswith(f"{ACCOUNTS}/2fa/authenticate/"):
            assert self.secret, "allauth asks for a code"
            assert self.client.post(asked.url, {"code": pyotp.TOTP(self.secret).now()}).status_code == 302

    def sign_out(self) -> None:
        """Sign out on allauth's page."""
        assert self.client.post(f"{ACCOUNTS}/logout/").status_code == 302

    def sign_in_by_provider(self) -> None:
        """Sign in by the identity provider; who has no account yet gets one without a password."""
        self._through_provider("login")

    def connect_provider(self) -> None:
        """Add the identity provider to an account that is signed in with a password."""
        self._through_provider("connect")

    def _through_provider(self, process: str) -> None:
        begun = self.client.post(f"{ACCOUNTS}/dummy/login/?process={process}")
        identity = {"id": crc32(self.email.encode()), "email": self.email, "email_verified": "on"}
        assert self.client.post(begun.url, identity).status_code == 302

    def open_set_up(self) -> str:
        """Open allauth's page for an authenticator app, which asks for the password again; return the secret it shows."""
        page = self.client.get(SET_UP, follow=True)
        if page.request["PATH_INFO"] == REAUTHENTICATE:
            page = self.client.post(page.redirect_chain[-1][0], {"password": PASSWORD}, follow=True)
        secret = re.search(r'value="([A-Z2-7]{32})"', page.content.decode())
        assert secret, page.content
        return secret[1]

    def activate_totp(self) -> None:
        """Set up an authenticator app: scan the secret, type the first code."""
        self.secret = self.open_set_up()
        assert self.client.post(SET_UP, {"code": pyotp.TOTP(self.secret).now()}).status_code == 302

    def deactivate_totp(self) -> None:
        """Drop the authenticator app, on the page allauth has for that."""
        assert self.client.post(f"{ACCOUNTS}/2fa/totp/deactivate/").status_code == 302

    def change_password(self, new: str) -> None:
        """Change the password on allauth's page; the session stays and gets a new key."""
        changed = self.client.post(f"{ACCOUNTS}/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
        assert changed.status_code == 302, changed.content

    @property
    def session_key(self) -> str:
        """The key in the client's cookie."""
        return str(self.client.cookies["sessionid"].value)

    def lands_on(self) -> str:
        """Ask for the app's own page; return the path of what is shown instead, or `HOME`."""
        shown = self.client.get(HOME, follow=True)
        assert shown.status_code == 200
        return str(shown.request["PATH_INFO"])
