"""Every page shows what there is, to whoever may look; and nothing but a clear page comes of a wrong address."""

import asyncpg
import pytest

from jobs.client import require_second_factor
from tests.builders import a_member, an_organization
from tests.integration.console.browser import Visitor

PAGES = ("/", "/runs", "/members", "/queues", "/dead", "/workers", "/limits", "/reconciler", "/audit", "/emergency", "/account")


@pytest.mark.parametrize("path", PAGES)
async def test_each_page_is_there_while_nothing_ever_ran(mara: Visitor, path: str) -> None:
    shown = await mara.get(path)
    assert shown.status_code == 200, shown.text
    assert "<h1>" in shown.text


@pytest.mark.parametrize("path", PAGES)
async def test_a_viewer_sees_each_page_and_no_form_to_act_with(vera: Visitor, path: str) -> None:
    shown = await vera.get(path)
    assert shown.status_code == 200, shown.text
    assert 'name="reason"' not in shown.text


async def test_a_run_is_shown_with_a_masked_member(mara: Visitor, db: asyncpg.Connection) -> None:
    organization = await an_organization(db)
    ada = await a_member(db, organization.id, email="ada.lovelace@analytical.example")
    run = await require_second_factor(db, organization.id, requested_by=organization.admin.id, reason="audit <b>12</b>")
    shown = await mara.get(f"/runs/{run}")
    assert shown.status_code == 200, shown.text
    assert "audit &lt;b&gt;12&lt;/b&gt;" in shown.text
    member = await mara.get(f"/members/{ada.id}")
    assert "a…e@a…l.example" in member.text
    assert "ada.lovelace" not in member.text
    found = await mara.get("/members?q=ada.lovelace@analytical.example")
    assert (found.status_code, found.headers["location"]) == (303, f"/members/{ada.id}")
    assert "A password is enough to sign in" in member.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/999", 404),
        (f"/runs/{2**63}", 404),
        ("/runs?state=nope", 400),
        ("/runs?organization=nope", 400),
        ("/members/999", 404),
        ("/members/nope", 404),
        ("/members?q=nobody", 404),
        ("/members?q=nobody@nowhere.example", 404),
        ("/dead/999", 404),
        ("/dead/order?what=replay&fingerprint=abcdef", 404),
        ("/dead/order?what=replay", 400),
        ("/dead/order?what=nonsense&everything=1", 400),
        ("/dead/order?what=replay&batch=x", 400),
        ("/nope", 404),
    ],
)
async def test_what_does_not_exist_is_said_in_words(mara: Visitor, path: str, status: int) -> None:
    shown = await mara.get(path)
    assert shown.status_code == status, shown.text
    assert 'role="alert"' in shown.text
