"""From "signed out" to "signed in again", in a real browser, with real workers and real mail.

One story in the order of this file: what a scenario leaves is where the next one begins. A picture of each step lies under `var/browser/`.
"""

import time
from dataclasses import dataclass, field
from email import policy
from email.parser import BytesParser
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest
from playwright.sync_api import Frame, expect

from tests.browser import camera, tools
from tests.browser.conftest import PHONE, WIDE, Visit
from tests.browser.system import CROWD, System, until
from tests.browser.visitor import Visitor, codes_of, link_in
from tests.main_app.people import PASSWORD
from workers.demo.letters import Arrived

MARA, ADA, PIA, SAM = "mara@kestrel.example", "ada@kestrel.example", "pia@kestrel.example", "sam@kestrel.example"
NOOR, DORA, OLU, HANA = "noor@kestrel.example", "dora@kestrel.example", "olu@osprey.example", "hana@heron.example"

THROWN_OUT_SECONDS = 2

LIVE = "SELECT count(*) FROM app.sessions JOIN app.users USING (user_id) WHERE email = %s AND ended_at IS NULL"
FACTORS = "SELECT count(*) FROM portcullis.factor JOIN app.users USING (user_id) WHERE email = %s"
NAME_OF_FOCUS = """(() => {
    const focus = document.activeElement;
    if (focus === document.body) return "";
    const label = document.getElementById(focus.getAttribute("aria-labelledby"));
    return [focus.name, label?.textContent, focus.textContent].join(" ");
})()"""
RUN = "SELECT max(run_id) FROM portcullis.run WHERE organization_id = %s"


@dataclass
class Kept:
    """What Ada keeps from one scenario to the next: her phone, a code that it shows, the recovery codes, her browser."""

    secret: str = ""
    next_code: str = ""
    recovery_codes: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def kept() -> Kept:
    return Kept()


@pytest.fixture(scope="module")
def mara(visit: Visit) -> Visitor:
    """Kestrel's admin, at work."""
    visitor = visit()
    visitor.sign_in(MARA)
    return visitor


@pytest.fixture(scope="module")
def ada(visit: Visit) -> Visitor:
    """Without a second factor, at work on a phone."""
    visitor = visit(phone=True)
    visitor.sign_in(ADA)
    return visitor


@pytest.fixture(scope="module")
def olu(visit: Visit) -> tuple[Visitor, list[str]]:
    """Of another organization, at work; with every page that the browser goes to from now on."""
    visitor = visit()
    visitor.sign_in(OLU)
    moves: list[str] = []
    visitor.page.on("framenavigated", lambda frame: moves.append(frame.url))
    return visitor, moves


def test_1_an_admin_is_shown_whom_the_switch_hits_and_cancels(mara: Visitor, system: System) -> None:
    mara.looks("1-1-home")
    mara.follow("Organization security")
    mara.sees("Require two-factor authentication")
    mara.looks("1-2-organization-security")
    by_keyboard_to(mara, "Require two-factor authentication")
    mara.page.keyboard.press("Enter")
    expect(mara.page.get_by_role("dialog")).to_be_visible()
    for verdict, said in {
        "unprotected": "3 members without two-factor authentication: asked to set it up. 0 sessions end now.",
        "protected": "2 members with two-factor",
        "sso": "1 member with SSO only: nothing changes.",
        "inactive": "1 member deactivated",
    }.items():
        expect(mara.group(verdict)).to_contain_text(said)
    mara.group("unprotected").get_by_text("Who?").click()
    expect(mara.group("unprotected").get_by_role("listitem")).to_have_text([f"Ada Byrne {ADA}", f"Dora Lund {DORA}", f"Noor Haddad {NOOR}"])
    mara.looks("1-3-warning")
    mara.page.set_viewport_size(PHONE)
    mara.looks("1-4-warning-on-a-phone")
    mara.page.set_viewport_size(WIDE)

    mara.page.keyboard.press("Escape")
    expect(mara.page.get_by_role("switch")).not_to_be_checked()
    mara.page.get_by_role("switch").click()
    expect(mara.page.get_by_role("link", name="Cancel")).to_be_focused()
    mara.page.keyboard.press("Enter")
    expect(mara.page.get_by_role("switch")).not_to_be_checked()

    assert system.ask("SELECT count(*) FROM portcullis.policy") == 0
    assert system.ask("SELECT count(*) FROM portcullis.run") == 0
    assert list(system.letters(ADA)) == []


def test_7_an_admin_without_a_second_factor_is_told_to_enrol_first(visit: Visit, system: System) -> None:
    noor = visit(phone=True)
    noor.sign_in(NOOR)
    noor.follow("Organization security")
    noor.page.get_by_role("switch").click()
    noor.says_no("Set up two-factor authentication for yourself first.")
    noor.looks("7-1-enrol-first")
    noor.follow("Set it up now")
    noor.sees("Set up two-factor authentication")
    assert system.ask("SELECT count(*) FROM portcullis.policy") == 0


def test_2_the_switch_throws_out_who_is_unprotected_while_the_others_go_on(
    mara: Visitor, ada: Visitor, olu: Any, visit: Visit, system: System
) -> None:
    pia, sam = visit(), visit()
    pia.sign_in(PIA)
    sam.sign_in_by_sso(SAM)
    sam.looks("2-1-sso-member-at-work")
    ada.looks("2-2-before-on-a-phone")
    left: list[tuple[float, str]] = []

    def note(frame: Frame) -> None:
        left.append((time.time(), urlsplit(frame.url).path))

    ada.page.on("framenavigated", note)

    mara.page.get_by_role("switch").click()
    expect(mara.group("unprotected")).to_contain_text("asked to set it up. 2 sessions end now.")
    mara.type("Why?", "Passwords were leaked")
    mara.looks("2-3-warning")
    mara.press("Sign out 3 members and require it")
    expect(ada.page).to_have_url(system.url + "/sign-in")
    mara.looks("2-4-progress")

    switched = system.ask("SELECT extract(epoch FROM changed_at)::float FROM portcullis.policy")
    (system.directory / "seconds-to-be-thrown-out").write_text(f"{left[0][0] - switched:.2f} by way of {[path for _, path in left]}\n")
    assert left[0][0] - switched < THROWN_OUT_SECONDS, left
    ada.reads("Kestrel Logistics now requires two-factor authentication, so you were signed out.")
    ada.looks("2-5-thrown-out")
    assert system.ask(LIVE, ADA) == 0

    expect(mara.page.get_by_role("heading", name="Switched on")).to_be_visible(timeout=60_000)
    mara.looks("2-6-done")
    for undisturbed, address in ((pia, PIA), (sam, SAM)):
        assert undisturbed.page.url == system.url + "/"
        undisturbed.work()
        assert system.ask(LIVE, address) == 1
    assert system.ask("SELECT (portcullis.run_status(%s)->'letters'->>'accepted')::int", system.ask(RUN, system.cast.kestrel)) == 6


def test_3_the_letter_leads_back_in(ada: Visitor, system: System, kept: Kept) -> None:
    letter = system.letter(ADA, "signed_out")
    show(ada, letter, "3-1-letter")
    ada.page.goto(link_in(letter.as_text(), system.url))
    expect(ada.page).to_have_url(system.url + "/sign-in")
    ada.give_password(ADA)
    ada.sees("Set up two-factor authentication")
    ada.reads("Your organization requires it.")
    ada.looks("3-2-set-up")
    ada.go("/")
    expect(ada.page).to_have_url(system.url + "/two-factor")
    ada.go("/letters")
    ada.reads("You were signed out: set up two-factor authentication")
    ada.looks("3-3-is-it-genuine")

    ada.go("/two-factor")
    ada.press("Show the QR code")
    ada.page.get_by_text("I can't scan").click()
    uri = pyotp.parse_uri(camera.read(ada.page.locator(".qr").screenshot()))
    assert isinstance(uri, pyotp.TOTP)
    assert (uri.issuer, uri.name) == ("Kestrel", ADA)
    assert ada.page.locator(".secret").inner_text().replace(" ", "") == uri.secret
    ada.looks("3-4-scan")

    ada.type("Six-digit code", "12345")
    ada.press("Confirm")
    ada.says_no("Wait for the next code")
    ada.looks("3-5-five-digits")
    kept.secret = uri.secret
    first_code, kept.next_code = codes_of(kept.secret)
    ada.type("Six-digit code", first_code)
    ada.press("Confirm")
    ada.sees("Keep your recovery codes")
    kept.recovery_codes = ada.page.get_by_role("list", name="Recovery codes").get_by_role("listitem").all_inner_texts()
    assert len(set(kept.recovery_codes)) == 10
    ada.looks("3-6-recovery-codes")
    ada.follow("I have kept them")
    ada.sees("Good to see you, Ada Byrne")
    ada.work()
    ada.looks("3-7-back-at-work")
    assert system.ask(FACTORS, ADA) == 1


def test_4_a_code_lets_in_once(ada: Visitor, kept: Kept) -> None:
    ada.press("Sign out")
    ada.sees("Sign in")
    ada.looks("4-1-signed-out")
    ada.give_password(ADA)
    ada.sees("Enter your code")
    ada.looks("4-2-code")
    ada.type("Six-digit code", kept.next_code)
    ada.press("Sign in")
    ada.sees("Good to see you")

    ada.press("Sign out")
    ada.give_password(ADA)
    ada.type("Six-digit code", kept.next_code)
    ada.press("Sign in")
    ada.says_no("That code did not work.")
    ada.looks("4-3-the-same-code-again")

    ada.follow("I don't have my phone")
    ada.type("Recovery code", kept.recovery_codes[0].lower())
    ada.looks("4-4-recovery-code")
    ada.press("Sign in")
    ada.reads("9 of your recovery codes are left")
    ada.looks("4-5-after-recovery")
    ada.press("Sign out")
    ada.give_password(ADA)
    ada.follow("I don't have my phone")
    ada.type("Recovery code", kept.recovery_codes[0])
    ada.press("Sign in")
    ada.says_no("That recovery code did not work.")


def test_5_a_member_of_another_organization_sees_nothing(olu: tuple[Visitor, list[str]], system: System) -> None:
    visitor, moves = olu
    assert moves == []
    assert visitor.page.url == system.url + "/"
    visitor.work()
    assert system.ask(LIVE, OLU) == 1
    assert list(system.letters(OLU)) == []
    visitor.go("/letters")
    visitor.reads("We sent you no letter about signing in.")
    visitor.looks("5-1-no-letter")
    visitor.go(f"/organizations/{system.cast.kestrel}/security")
    visitor.sees("Nothing here")


def test_nothing_is_done_for_a_form_of_another_site(mara: Visitor, system: System) -> None:
    off = f"{system.url}/organizations/{system.cast.kestrel}/security/off"
    for headers in ({"Origin": "https://elsewhere.example"}, {}):
        assert mara.context.request.post(off, headers=headers).status == 403
    assert system.ask("SELECT required FROM portcullis.policy WHERE organization_id = %s", system.cast.kestrel)


def test_set_up_needs_no_mouse(visit: Visit, system: System) -> None:
    noor = visit()
    noor.go("/sign-in")
    expect(noor.page.get_by_label("E-mail address")).to_be_focused()
    for typed in (NOOR, "\t", PASSWORD, "\n"):
        keys(noor, typed)
    noor.sees("Set up two-factor authentication")
    by_keyboard_to(noor, "Show the QR code")
    keys(noor, "\n")
    noor.sees("Scan the QR code")
    by_keyboard_to(noor, "I can't scan")
    keys(noor, " ")
    secret = noor.page.locator(".secret").inner_text().replace(" ", "")
    by_keyboard_to(noor, "code")
    keys(noor, codes_of(secret)[0] + "\n")
    noor.sees("Keep your recovery codes")
    by_keyboard_to(noor, "I have kept them")
    noor.looks("9-1-by-keyboard")
    keys(noor, "\n")
    noor.sees("Good to see you, Noor Haddad")
    assert system.ask(FACTORS, NOOR) == 1


def test_6_switching_off_stops_letters_that_are_still_owed(visit: Visit, system: System) -> None:
    hana = visit(scripts=False)
    hana.sign_in(HANA)
    hana.follow("Organization security")
    hana.page.get_by_role("switch").click()
    hana.reads("39 members without two-factor authentication")
    hana.looks("6-1-warning-without-scripts")
    hana.press("Sign out 39 members and require it")
    system.letter("member01@heron.example", "signed_out")
    hana.looks("6-2-under-way")
    hana.page.get_by_role("switch").click()
    hana.reads("Switched off again")
    sent = len(notices(system))

    run = system.ask(RUN, system.cast.heron)
    until(lambda: system.ask("SELECT (portcullis.run_status(%s)->'letters'->>'sending')::int = 0", run))
    cancelled = system.ask("SELECT (portcullis.run_status(%s)->'letters'->>'cancelled')::int", run)
    assert cancelled > 0
    system.letter("member01@heron.example", "lifted")
    assert sent <= len(notices(system)) == CROWD - cancelled < CROWD
    hana.page.reload()
    hana.looks("6-3-switched-off")


def test_8_a_password_alone_does_not_enrol_into_a_dormant_account(visit: Visit, system: System) -> None:
    thief = visit()
    thief.give_password(DORA)
    thief.press("Sign out")
    thief.give_password(DORA)  # the second sign-in must not take the first one for a sign of life
    thief.sees("Set up two-factor authentication")
    thief.press("Show the QR code")
    thief.sees("First confirm that this account is yours")
    thief.looks("8-1-prove-the-address")
    confirmed = thief.context.request.post(system.url + "/two-factor/confirm", form={"code": "123456"}, headers={"Origin": system.url})
    assert confirmed.status == 409
    thief.press("Send me the link")
    thief.reads("A link is on its way")
    thief.looks("8-2-link-is-mailed")
    thiefs_link = link_in(system.letter(DORA, "address").as_text(), system.url)

    dora = visit(phone=True)
    dora.give_password(DORA)
    dora.page.goto(thiefs_link)
    dora.looks("8-3-is-this-you")
    dora.press("Yes, this is me")
    dora.says_no("This link is not for this session")
    dora.looks("8-4-not-for-this-session")
    thief.go("/two-factor")
    thief.press("Show the QR code")
    thief.sees("First confirm that this account is yours")
    assert system.ask(FACTORS, DORA) == 0

    dora.follow("Start again")
    dora.press("Show the QR code")
    dora.press("Send me the link")
    own_link = until(lambda: newest_link(system, other_than=thiefs_link))
    dora.page.goto(own_link)
    dora.press("Yes, this is me")
    dora.press("Show the QR code")
    uri = pyotp.parse_uri(camera.read(dora.page.locator(".qr").screenshot()))
    dora.type("Six-digit code", codes_of(uri.secret)[1])
    dora.press("Confirm")
    dora.sees("Keep your recovery codes")
    expect(thief.page).to_have_url(system.url + "/sign-in")
    thief.looks("8-5-the-thief-is-out")


def test_every_step_that_was_looked_at_is_accessible(system: System) -> None:
    if tools.axe() is None:
        pytest.skip("axe-core is not installed; `make browser-test` installs it")
    pictures = {picture.stem for picture in system.directory.glob("*.png")} - {"3-1-letter"}
    without_scripts = {name for name in pictures if name.startswith("6-")}
    assert set(system.checked) == pictures - without_scripts


def by_keyboard_to(visitor: Visitor, name: str) -> None:
    """Press Tab until the focus is on what has that name: its label, its text, or the name in its form."""
    for _ in range(20):
        visitor.page.keyboard.press("Tab")
        if name in visitor.page.evaluate(NAME_OF_FOCUS):
            return
    raise AssertionError(f"{name} can't be reached by the keyboard")


def keys(visitor: Visitor, typed: str) -> None:
    for key in typed:
        visitor.page.keyboard.press({"\t": "Tab", "\n": "Enter", " ": "Space"}.get(key, key))


def notices(system: System) -> list[Arrived]:
    """Letters about Heron's requirement that have arrived."""
    return [
        letter for number in range(1, CROWD) for letter in system.letters(f"member{number:02}@heron.example") if letter.kind == "signed_out"
    ] + [letter for letter in system.letters(HANA) if letter.kind == "protected"]


def newest_link(system: System, *, other_than: str) -> str | None:
    """The link to prove Dora's address that came last, if it is another one."""
    link = link_in([letter for letter in system.letters(DORA) if letter.kind == "address"][-1].as_text(), system.url)
    return None if link == other_than else link


def html_of(letter: Arrived) -> str:
    body = BytesParser(policy=policy.default).parsebytes(letter.path.read_bytes()).get_body(("html",))
    assert body is not None
    return str(body.get_content())


def show(visitor: Visitor, letter: Arrived, name: str) -> None:
    """Take a picture of a letter as a mail program on a phone shows it."""
    page = visitor.context.new_page()
    page.set_content(html_of(letter))
    page.screenshot(path=visitor.system.directory / f"{name}.png", full_page=True)
    page.close()
