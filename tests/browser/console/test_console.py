"""The console in a real browser, over real processes: every page and every action, seen by axe, at a desk, on a phone, in the dark."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser import tools
from tests.browser.console.conftest import Open, forget_steps
from tests.browser.console.ground import ADMINS, Ground
from tests.browser.console.watcher import Watcher
from tests.browser.system import until

PAGES = {
    "overview": "/",
    "runs": "/runs",
    "run-running": "/runs/{running}",
    "run-stuck": "/runs/{stuck}",
    "run-failed": "/runs/{failed}",
    "run-done": "/runs/{done}",
    "members": "/members",
    "member": "/members/{member}",
    "queues": "/queues",
    "dead": "/dead",
    "dead-one": "/dead/{dead}",
    "dead-order": "/dead/order?what=replay&everything=1",
    "workers": "/workers",
    "limits": "/limits",
    "reconciler": "/reconciler",
    "audit": "/audit",
    "emergency": "/emergency",
    "account": "/account",
    "refused": "/runs/999",
}


def address(ground: Ground, path: str) -> str:
    dead = ground.ask("SELECT min(batch_id) FROM portcullis.batch WHERE state = 'dead'")
    return path.format(**ground.runs, member=27, dead=dead)


@pytest.mark.parametrize("name", PAGES)
def test_each_page_at_a_desk(mara: Watcher, ground: Ground, name: str) -> None:
    mara.go(address(ground, PAGES[name]))
    mara.looks(f"desk-{name}")


@pytest.mark.parametrize("name", PAGES)
def test_each_page_on_a_phone_in_the_dark(open_browser: Open, mara: Watcher, ground: Ground, name: str) -> None:
    phone = open_browser(phone=True, dark=True)
    phone.context.add_cookies(mara.context.cookies())  # type: ignore[arg-type]
    phone.go(address(ground, PAGES[name]))
    phone.looks(f"phone-{name}")
    phone.context.close()


def test_the_light_says_in_one_sentence_what_is_wrong(mara: Watcher) -> None:
    mara.go("/")
    expect(mara.page.locator("#light")).to_have_attribute("data-colour", "red")
    expect(mara.page.locator("#light .sentence")).to_contain_text("1 batch of sessions to end is dead and waits for you")
    expect(mara.page).to_have_title(re.compile("^Red: "))


def test_a_page_changes_by_itself_and_times_are_in_the_browser_s_zone(mara: Watcher, ground: Ground) -> None:
    mara.go(f"/runs/{ground.runs['running']}")
    expect(mara.page.locator("time").first).to_contain_text("CET")
    accepted = ground.status(ground.runs["running"])["letters"]["accepted"]
    row = mara.page.locator("table.counts").nth(1).locator("tr", has_text="accepted").locator("td").first
    until(lambda: int(row.inner_text().replace(",", "")) > accepted, seconds=30)


def test_an_open_form_is_not_taken_away_by_a_change(mara: Watcher, ground: Ground) -> None:
    mara.go(f"/runs/{ground.runs['running']}")
    mara.page.get_by_text("Pause…", exact=True).click()
    reason = mara.page.locator("#o-pause").get_by_label("Reason, kept with the record")
    reason.fill("half a sentence")
    mara.page.wait_for_timeout(4_500)
    expect(reason).to_have_value("half a sentence")


def test_a_run_is_paused_and_resumed(mara: Watcher, ground: Ground) -> None:
    mara.go(f"/runs/{ground.runs['running']}")
    mara.order("Pause…", "Pause the run", "the letter has a mistake")
    mara.reads("Stopped by mara")
    mara.reads("the letter has a mistake")
    mara.looks("desk-run-paused")
    mara.order("Resume…", "Resume the run", "it had none")
    mara.reads("Resumed.")
    expect(mara.page.get_by_role("main")).not_to_contain_text("Stopped by mara")
    assert ground.ask("SELECT count(*) FROM portcullis.action WHERE actor = 'mara' AND via = 'console'") == 2


def test_dead_batches_are_replayed_and_the_failed_run_goes_on(mara: Watcher, ground: Ground) -> None:
    mara.go("/")
    mara.follow("Dead batches")
    mara.follow("Replay…")
    mara.sees("Replay dead batches")
    mara.type("Reason, kept with the record", "the function is back")
    mara.type("To confirm, type", "replay")
    mara.press("Replay")
    mara.reads("1 batch open again")
    until(lambda: ground.status(ground.runs["failed"])["state"] == "done", seconds=60)


def test_a_limit_is_changed_and_cleared(mara: Watcher, ground: Ground) -> None:
    mara.go("/limits")
    row = mara.page.locator("tr", has_text="Kestrel Logistics")
    details = row.locator("details.order").first
    details.locator("summary").click()
    details.get_by_label("Letters a second").fill("3")
    details.get_by_label("Reason, kept with the record").fill("a little more")
    details.get_by_role("button", name="Set the limit").click()
    mara.reads("The limit holds from the next letters on.")
    assert ground.ask("SELECT amount FROM portcullis.send_limit WHERE subject = '2'") == 3
    mara.order("Clear…", "Let the configured one hold", "enough", within=mara.page.locator("tr", has_text="Kestrel Logistics"))
    mara.reads("The configured limit holds again.")


def test_a_breaker_is_closed(mara: Watcher, ground: Ground) -> None:
    ground.do(
        "INSERT INTO portcullis.breaker (scope, subject, state, cause) VALUES ('letter', 'lifted', 'open', '30 of 40 letters refused')"
    )
    mara.go("/limits")
    mara.reads("30 of 40 letters refused")
    mara.order("Close…", "Close the breaker", "the template is mended", within=mara.page.locator("tr", has_text="lifted"))
    mara.reads("The breaker is closed")


def test_all_letters_are_stopped_and_go_on(mara: Watcher, ground: Ground) -> None:
    mara.go("/emergency")
    mara.page.get_by_label("All letters: no letter leaves").check()
    mara.type("Reason, kept with the record", "the wrong template")
    mara.type("To confirm, type", "stop")
    mara.press("Stop")
    mara.reads("All letters, by mara")
    mara.looks("desk-emergency-stopped")
    mara.order("Resume…", "Resume all letters", "the right one is in place")
    mara.reads("Nothing is stopped.")
    assert ground.ask("SELECT count(*) FROM portcullis.pause") == 0


def test_a_stale_form_does_nothing_and_says_so(mara: Watcher, ground: Ground) -> None:
    run = ground.runs["running"]
    mara.go(f"/runs/{run}")
    mara.page.get_by_text("Pause…", exact=True).click()
    ground.do("INSERT INTO portcullis.pause (scope, subject, paused_by, reason) VALUES ('run', %s, 'noor', 'quicker')", str(run))
    form = mara.page.locator("#o-pause")
    form.get_by_label("Reason, kept with the record").fill("slower")
    form.get_by_role("button", name="Pause the run").click()
    mara.sees(f"Run {run} was paused meanwhile")
    mara.reads("Nothing was done")
    mara.looks("desk-stale")
    ground.do("DELETE FROM portcullis.pause")


def test_a_worker_is_drained(mara: Watcher, ground: Ground) -> None:
    mara.go("/workers")
    mara.order("Drain…", "Drain it", "a new version is coming", within=mara.page.locator("tr", has_text="enforce").first)
    mara.reads("Told to drain")
    until(lambda: ground.system.processes["enforcer"][0].poll() is not None, seconds=40)
    ground.system.processes.pop("enforcer")
    ground.system.start("enforcer")


def test_a_member_is_found_by_address_and_shown_masked(mara: Watcher) -> None:
    mara.go("/")
    mara.page.get_by_role("search").get_by_label("Member's id or address").fill("m27@gone.example")
    mara.page.get_by_role("search").get_by_role("button", name="Find").click()
    mara.sees("Member 27")
    mara.reads("550 5.1.1 No such mailbox")
    expect(mara.page.get_by_role("main")).not_to_contain_text("m27@gone")


def test_without_scripts_everything_works_and_times_are_in_utc(open_browser: Open, mara: Watcher, ground: Ground) -> None:
    plain = open_browser(scripts=False)
    plain.context.add_cookies(mara.context.cookies())  # type: ignore[arg-type]
    plain.go(f"/runs/{ground.runs['running']}")
    expect(plain.page.locator("time").first).to_contain_text("UTC")
    plain.order("Pause…", "Pause the run", "without scripts")
    plain.reads("Stopped by mara")
    plain.order("Resume…", "Resume the run", "the same")
    plain.reads("Resumed.")


def test_by_keyboard_alone_to_the_page_behind_the_navigation(mara: Watcher) -> None:
    mara.go("/runs")
    mara.page.keyboard.press("Tab")
    expect(mara.page.get_by_role("link", name="Skip to the page")).to_be_focused()
    mara.page.keyboard.press("Enter")
    mara.page.keyboard.press("Tab")
    expect(mara.page.get_by_label("State")).to_be_focused()


def test_a_viewer_looks_and_has_nothing_to_press(open_browser: Open, ground: Ground) -> None:
    vera = open_browser()
    vera.set_up("vera", "viewer")
    for path in ("/runs/{running}", "/limits", "/workers", "/queues", "/emergency"):
        vera.go(address(ground, path))
        assert vera.page.locator("details.order").count() == 0
    vera.looks("desk-viewer-emergency")


def test_an_expired_sign_in_leads_back_to_the_page(mara: Watcher, ground: Ground) -> None:
    mara.go("/queues")
    ground.do("UPDATE portcullis.operator_session SET expires_at = now()")
    expect(mara.page.get_by_role("heading", name="Sign in to the console")).to_be_visible(timeout=60_000)  # the open page notices
    mara.reads("Your sign-in has expired")
    mara.looks("desk-sign-in")
    forget_steps(ground.system.database_url)
    mara.sign_in()
    mara.sees("Queues")


def test_an_open_page_outlives_a_proxy_that_answered_for_the_console(mara: Watcher) -> None:
    mara.page.route("**/queues?live=1", lambda route: route.fulfill(status=502, body="Bad gateway"))
    mara.go("/queues")
    expect(mara.page.locator("#trouble")).to_contain_text("can't be reached")
    mara.page.unroute("**/queues?live=1")
    expect(mara.page.locator("#trouble")).to_be_hidden()


def test_a_run_is_cancelled_for_good(mara: Watcher, ground: Ground) -> None:
    run = ground.runs["running"]
    mara.go(f"/runs/{run}")
    mara.order("Cancel…", "Cancel the run", "wrong organization", confirmation=f"cancel {run}")
    mara.reads("Cancelled.")
    mara.looks("desk-run-cancelled")
    assert ground.status(run)["state"] == "cancelled"
    assert ground.ask("SELECT required FROM portcullis.policy WHERE organization_id = 2")
    assert ADMINS[2]


def test_every_step_was_looked_at_by_axe(ground: Ground) -> None:
    if tools.axe() is None:
        pytest.skip("axe-core is not installed; `make browser-test` installs it")
    assert len(ground.checked) > 2 * len(PAGES)


def test_the_console_ends_at_once_when_asked_though_a_page_is_open(mara: Watcher, ground: Ground) -> None:
    mara.go("/")
    [console] = ground.system.processes["console"]
    console.terminate()
    assert console.wait(10) == 0
    expect(mara.page.locator("#trouble")).to_contain_text("can't be reached", timeout=15_000)
