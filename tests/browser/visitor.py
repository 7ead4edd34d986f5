"""Somebody in front of a browser of their own: what they see, type and press, by the names that a screen reader says."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyotp
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.system import System, until
from tests.main_app.people import PASSWORD

RUN_AXE = """async () => {
    const found = await axe.run(document, { resultTypes: ["violations"] });
    return found.violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes[0].html.slice(0, 200)}`);
}"""
OVERFLOW = "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"


@dataclass(kw_only=True)
class Visitor:
    """A browser context with one page."""

    system: System
    context: BrowserContext
    page: Page
    axe: Path | None

    def go(self, path: str) -> None:
        self.page.goto(self.system.url + path)

    def looks(self, name: str) -> None:
        """Take a picture of this step, and find nothing that keeps anybody out of the page."""
        self.page.screenshot(path=self.system.directory / f"{name}.png", full_page=True)
        assert self.page.evaluate(OVERFLOW) == 0, f"{name} is wider than its window"
        if self.axe:
            # As a string, because the page's policy forbids scripts that are put into it.
            self.page.evaluate(self.axe.read_text())
            violations = self.page.evaluate(RUN_AXE)
            assert violations == [], name
            self.system.checked.append(name)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name).click()

    def type(self, label: str, text: str) -> None:
        self.page.get_by_label(label).fill(text)

    def sees(self, heading: str) -> None:
        expect(self.page.get_by_role("heading", name=heading)).to_be_visible()

    def reads(self, text: str) -> None:
        expect(self.page.get_by_role("main")).to_contain_text(text)

    def says_no(self, text: str) -> None:
        expect(self.page.get_by_role("alert")).to_contain_text(text)

    def give_password(self, address: str) -> None:
        self.go("/sign-in")
        self.type("E-mail address", address)
        self.type("Password", PASSWORD)
        self.press("Sign in")

    def sign_in(self, address: str) -> None:
        """Sign in by password and, for those with a phone, a code that was not used before."""
        self.give_password(address)
        if phone := self.system.cast.phones.get(address):
            self.sees("Enter your code")
            self.type("Six-digit code", pyotp.TOTP(phone.secret).now())
            self.press("Sign in")
        self.sees("Good to see you")

    def sign_in_by_sso(self, address: str) -> None:
        self.go("/sign-in")
        self.follow("Sign in with your company account")
        self.type("Company address", address)
        self.press("Continue")
        self.sees("Good to see you")

    def work(self) -> None:
        """Do what somebody does who is left in peace."""
        self.page.reload()
        self.sees("Good to see you")

    def group(self, verdict: str) -> Locator:
        return self.page.locator(f"[data-verdict={verdict}]")


def link_in(text: str, url: str) -> str:
    """Return the first address of the app that stands in a letter."""
    found = re.search(re.escape(url) + r"[^\s>]*", text)
    assert found, text
    return found[0]


def codes_of(secret: str) -> tuple[str, str]:
    """Return the code of the step before, and of this one; waits for a step that is young, so that both last a while."""
    until(lambda: datetime.now(UTC).timestamp() % 30 < 22)
    totp, now = pyotp.TOTP(secret), int(datetime.now(UTC).timestamp())
    return totp.at(now - 30), totp.at(now)
