"""Somebody in front of the console: what they see and press, by the names that a screen reader says."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.console.ground import Ground
from tests.browser.visitor import OVERFLOW, RUN_AXE

PASSWORD = "seven calm herons at dawn"
ROOT = Path(__file__).parents[3]


@dataclass(kw_only=True)
class Watcher:
    """A browser context with one page."""

    ground: Ground
    context: BrowserContext
    page: Page
    axe: Path | None
    name: str = ""
    secret: str = ""

    def go(self, path: str) -> None:
        self.page.goto(self.ground.url + path)

    def set_up(self, name: str, role: str) -> None:
        """Invite them on the command line, and let them set up what they sign in with."""
        command = [sys.executable, "-m", "workers", "operators", "add", name, "--role", role, "--reason", "on call"]
        environment = self.ground.system.environment
        said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
        code = next(line.split()[1] for line in said.splitlines() if line.strip().startswith("Code"))
        self.go("/welcome")
        self.type("Name", name)
        self.type("Invitation code", code)
        self.press("Continue")
        self.sees("Set up how you sign in")
        self.secret = self.page.locator(".secret").inner_text()
        self.name = name
        self.looks(f"set-up-{name}")
        self.type("New password", PASSWORD)
        self.type("Six-digit code", pyotp.TOTP(self.secret).now())
        self.press("Finish and sign in")
        self.sees("Overview")

    def sign_in(self) -> None:
        self.type("Name", self.name)
        self.type("Password", PASSWORD)
        self.type("Six-digit code", pyotp.TOTP(self.secret).now())
        self.press("Sign in")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name).first.click()

    def type(self, label: str, text: str) -> None:
        self.page.get_by_label(label).fill(text)

    def sees(self, heading: str) -> None:
        expect(self.page.get_by_role("heading", name=heading).first).to_be_visible()

    def reads(self, text: str) -> None:
        expect(self.page.get_by_role("main")).to_contain_text(text)

    def order(self, summary: str, button: str, reason: str, *, confirmation: str = "", within: Any = None) -> None:
        """Open an order's form, say why, and send it."""
        place = within or self.page
        details = place.locator("details.order").filter(has=self.page.get_by_text(summary, exact=True)).first
        details.locator("summary").click()
        details.get_by_label("Reason, kept with the record").fill(reason)
        if confirmation:
            details.get_by_label("To confirm, type").fill(confirmation)
        details.get_by_role("button", name=button).click()

    def looks(self, name: str) -> None:
        """Take a picture, and find nothing that keeps anybody out of the page."""
        self.page.screenshot(path=self.ground.directory / f"{name}.png", full_page=True)
        assert self.page.evaluate(OVERFLOW) == 0, f"{name} is wider than its window"
        if self.axe:
            self.page.evaluate(self.axe.read_text())
            violations = self.page.evaluate(RUN_AXE)
            assert violations == [], "\n".join([name, *violations])
            self.ground.checked.append(name)
