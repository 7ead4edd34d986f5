"""Every rule of a good letter, checked on every kind in every language, with plain, missing and hostile facts."""

import email
import email.policy
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import EmailMessage
from functools import lru_cache

import pytest

from jobs.domain.letters import LetterKind
from jobs.letters import Composer, Occasion
from jobs.letters.catalogues import direction, languages, translations
from jobs.letters.colours import LEAST_CONTRAST, contrast, inverted
from jobs.letters.samples import ADDRESSEE, CHANGES, DATED, OCCASION, TOTALS, change_for
from tests.unit import letters_page
from tests.unit.letters_hostile import HOSTILE
from tests.unit.letters_page import Element

APP_URL = "https://app.northwind.example"
PRODUCT = "Northwind"
SUPPORT_URL = "https://help.northwind.example/sign-in"
RUN_URL = "https://ops.northwind.example/runs/42"

COMPOSER = Composer(
    mail_from="Northwind Security <security@northwind.example>",
    app_url=APP_URL,
    message_id_key=b"k" * 32,
    message_id_key_id="k1",
    product_name=PRODUCT,
    run_url="https://ops.northwind.example/runs/{run_id}",
)
OWN_DOING = CHANGES - {LetterKind.FACTOR_RESET}
"""Letters about what was done in the member's own name."""

PLAIN = "plain"
MISSING = "everything missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A letter read back."""

    situation: str
    content: bytes
    message: EmailMessage
    text: str
    html: str
    page: Element


@lru_cache(maxsize=2_000)
def write(kind: LetterKind, language: str, situation: str) -> Written:
    occasion, addressee = OCCASION, ADDRESSEE._replace(locale=language)
    if situation == MISSING:
        occasion = Occasion(run_id=42, organization_id="7", requested_at=OCCASION.requested_at)
        addressee = addressee._replace(display_name=None, kind=None)
    elif situation != PLAIN:
        name = HOSTILE[situation]
        occasion = replace(
            occasion,
            organization_name=name,
            decided_by=name,
            organization_locale=name,
            organization_time_zone=name,
            support_url=f"http://{name}",
        )
        addressee = addressee._replace(display_name=name, time_zone=name, kind=name)
    totals = TOTALS if kind is LetterKind.REPORT else None
    change = change_for(kind, sparse=situation == MISSING)
    if change and situation in HOSTILE:
        change = replace(change, device=HOSTILE[situation], address=HOSTILE[situation])
    content = COMPOSER.compose(kind, occasion, addressee, slot="notice", dated=DATED, totals=totals, change=change).content
    message = email.message_from_bytes(content, policy=email.policy.strict)
    text, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
    return Written(situation=situation, content=content, message=message, text=text, html=html, page=letters_page.read(html))


@pytest.fixture(params=sorted(languages()))
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(LetterKind))
def kind(request: pytest.FixtureRequest) -> LetterKind:
    return LetterKind(request.param)


@pytest.fixture
def plain(kind: LetterKind, language: str) -> Written:
    return write(kind, language, PLAIN)


@pytest.fixture
def letters(kind: LetterKind, language: str) -> list[Written]:
    return [write(kind, language, situation) for situation in (PLAIN, MISSING, *HOSTILE)]


def words(text: str) -> set[str]:
    return set(re.sub(r"(?m)^\s*(?:\d\.|-)(?= )", "", text).split())


def urls(text: str) -> set[str]:
    return set(re.findall(r"https?://[^\s<>\"]+", text))


# Bytes and headers


def test_content_is_seven_bit_lines_that_end_in_crlf(letters: list[Written]) -> None:
    for letter in letters:
        assert letter.content.isascii()
        assert b"\x00" not in letter.content
        assert letter.content.endswith(b"\r\n")
        assert b"\r\n." not in letter.content
        assert letter.content.count(b"\r") == letter.content.count(b"\n") == letter.content.count(b"\r\n")
        assert max(map(len, letter.content.split(b"\r\n"))) <= 200  # RFC 5322 asks for 998 at most


def test_the_strict_parser_finds_no_defect(letters: list[Written]) -> None:
    for letter in letters:
        assert [part.get_content_type() for part in letter.message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
        for part in letter.message.walk():
            assert not part.defects
            assert not [header for header in part.values() if header.defects]


def test_the_header_is_complete_and_says_each_thing_once(letters: list[Written], kind: LetterKind, language: str) -> None:
    for letter in letters:
        assert letter.message.keys() == [
            *["From", "To", "Subject", "Date", "Message-ID", "Content-Language", "Auto-Submitted", "X-Auto-Response-Suppress"],
            *["Feedback-ID", "X-Entity-Ref-ID", "MIME-Version", "Content-Type"],
        ]
        assert letter.message["From"] == "Northwind Security <security@northwind.example>"
        assert [to.addr_spec for to in letter.message["To"].addresses] == ["anna.smith@northwind.example"]
        assert letter.message["Date"].datetime == DATED
        assert re.fullmatch(r"<k1\.[0-9a-f]{32}@northwind\.example>", letter.message["Message-ID"])
        assert letter.message["Content-Language"] == language
        assert letter.message["Auto-Submitted"] == "auto-generated"
        assert letter.message["X-Auto-Response-Suppress"] == "All"
        assert letter.message["Feedback-ID"] == f"{kind}:42:portcullis"
        assert letter.message["X-Entity-Ref-ID"] in letter.message["Message-ID"]


def columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def test_the_subject_is_short_and_begins_with_the_organization(letters: list[Written], plain: Written) -> None:
    organization, rest = plain.message["Subject"][:17], plain.message["Subject"][17:]
    assert organization == "Northwind Traders"
    assert columns(rest) <= 44  # with a name of one or two words it is about 50, as much as most mail programs show
    for letter in letters:
        assert len(letter.message["Subject"]) <= 70
        assert letter.message["Subject"] == " ".join(letter.message["Subject"].split())


# What it says


def test_every_fact_stands_in_text_and_html(plain: Written, kind: LetterKind) -> None:
    for said in (plain.text, plain.page.visible):
        assert "Northwind Traders" in said  # which organization
        assert ("Grace Hopper" in said) == (kind not in OWN_DOING)  # who decided, unless it was the member
        assert ("Firefox on Linux, 203.0.113.7" in said) == (kind in OWN_DOING)  # from where
        assert re.search(r"14:05|2:05\s", said)  # when, where the member is
        assert re.search(r"12:05(\u00a0PM| م)? UTC", said)  # when, everywhere
        assert "anna.smith@northwind.example" in said  # which account
        assert PRODUCT in said  # how to check that it is genuine
        assert SUPPORT_URL in said  # where to ask
        assert "Anna Smith" in said


def test_text_and_html_say_the_same(letters: list[Written]) -> None:
    for letter in letters:
        assert words(letter.page.visible) == words(letter.text), letter.situation


def test_text_html_and_links_know_the_same_addresses(letters: list[Written]) -> None:
    for letter in letters:
        links = {link.attributes["href"] for link in letter.page.find("a")}
        assert links == urls(letter.text) == urls(letter.page.visible)
        assert links <= {APP_URL, SUPPORT_URL, RUN_URL}


@pytest.mark.parametrize("untouched", [LetterKind.PROTECTED, LetterKind.SINGLE_SIGN_ON, LetterKind.EXEMPT])
def test_who_has_nothing_to_do_gets_no_button_and_no_link_but_to_help(untouched: LetterKind, language: str) -> None:
    for situation in (PLAIN, MISSING, *HOSTILE):
        letter = write(untouched, language, situation)
        assert urls(letter.html) <= {SUPPORT_URL}


@pytest.mark.parametrize("changed", sorted(CHANGES))
def test_a_letter_about_a_factor_leads_nowhere_but_to_help_and_says_what_to_do_if_it_was_not_me(changed: LetterKind, language: str) -> None:
    for situation in (PLAIN, MISSING, *HOSTILE):
        letter = write(changed, language, situation)
        assert urls(letter.html) <= {SUPPORT_URL}
        not_me = translations(language).gettext("This was not me")
        assert not_me in letter.text
        assert not_me in [heading.visible.strip() for heading in letter.page.find("h2")]


def test_a_reminder_says_from_when_on_and_where_to_set_it_up(language: str) -> None:
    letter = write(LetterKind.REMINDER, language, PLAIN)
    assert letter.text.count("12:05") == 2  # in the sentence and among the facts
    assert APP_URL in urls(letter.html)


BUTTONED = (LetterKind.SIGNED_OUT, LetterKind.REMINDER)


def buttons(page: Element) -> list[Element]:
    return [cell for cell in page.find("td") if cell.attributes.get("class") == "action"]


def test_who_has_something_to_set_up_gets_one_button_and_nobody_else(letters: list[Written], kind: LetterKind) -> None:
    for letter in letters:
        assert len(buttons(letter.page)) == (kind in BUTTONED)


@pytest.mark.parametrize("buttoned", BUTTONED)
def test_a_button_shows_where_it_leads_and_the_typed_route_stands_beside_it(buttoned: LetterKind, language: str) -> None:
    letter = write(buttoned, language, PLAIN)
    button, shown, *_ = letter.page.find("a")
    assert button.attributes["href"] == shown.attributes["href"] == shown.visible == APP_URL
    assert button.visible not in {APP_URL, ""}
    typed = PRODUCT in letter.text and re.search(r"\S+ > \S+", letter.text)  # open the app, Settings > Security
    assert typed, "the way without a link"


def test_nothing_that_letters_about_security_must_not_have(letters: list[Written]) -> None:
    for letter in letters:
        tags = {element.tag for element in letter.page.walk()}
        assert tags <= {
            *["root", "html", "head", "meta", "title", "style", "body", "div", "main", "table", "tbody", "tr", "td", "th"],
            *["p", "h1", "h2", "ol", "ul", "li", "a", "b", "bdi", "br", "span"],
        }
        assert not re.search(r"(?i)<img|<svg|<script|<form|url\(|@import|@font-face|var\(--|javascript:|data:", letter.html)
        assert not re.search(r"[?&#]", "".join(urls(letter.text)))  # no token, no tracking


def test_no_hostile_name_leaves_anything_invisible_or_linked(letters: list[Written]) -> None:
    allowed = {"anna.smith@northwind.example", "lee.jordan@northwind.example", "kim.adler@northwind.example"}
    for letter in letters:
        for said in (letter.text, letter.page.visible, letter.message["Subject"], letter.page.find("title")[0].visible):
            assert not [c for c in said if unicodedata.category(c) in {"Cf", "Co", "Cs", "Cn"} or (c < " " and c != "\n")]
            rest = re.sub(r"https://\S+", "", said)
            assert set(re.findall(r"\S+@\S+\.\S+|\S+\.(?:example|com)\b", rest)) <= allowed


def test_long_names_do_not_make_long_letters(letters: list[Written]) -> None:
    for letter in letters:
        assert len(letter.html.encode()) <= 40_000
        assert len(letter.content) <= 60_000


# HTML


def test_language_and_direction_stand_on_the_page_and_on_a_wrapper(letters: list[Written], language: str) -> None:
    for letter in letters:
        html, body = letter.page.find("html")[0], letter.page.find("body")[0]
        wrapper = next(child for child in body.children if isinstance(child, Element))
        for element in (html, wrapper):
            assert element.attributes["lang"] == language
            assert element.attributes["dir"] == direction(language)


def test_there_is_a_title_and_one_heading(letters: list[Written]) -> None:
    for letter in letters:
        title, heading = letter.page.find("title"), letter.page.find("h1")
        assert len(title) == len(heading) == 1
        assert title[0].visible.strip() == heading[0].visible.strip() != ""
        assert len(title[0].visible.strip()) <= 70


def test_layout_tables_are_for_presentation_and_data_tables_have_headings(letters: list[Written]) -> None:
    for letter in letters:
        for table in letter.page.find("table"):
            headings = [th for th in table.find("th") if next(e for e in ancestors(th) if e.tag == "table") is table]
            assert (table.attributes.get("role") == "presentation") == (not headings)
            assert all(th.attributes["scope"] == "row" for th in headings)


def test_text_is_large_enough(letters: list[Written]) -> None:
    for letter in letters:
        for element, text in letter.page.texts():
            assert element.font_size >= 16, text


@pytest.mark.parametrize("buttoned", BUTTONED)
def test_the_button_is_large_enough_for_a_thumb(buttoned: LetterKind, language: str) -> None:
    [cell] = buttons(write(buttoned, language, PLAIN).page)
    assert int(cell.attributes["height"]) >= 44
    assert cell.find("a")[0].style("padding") == "12px 28px"  # and a line of 24 px: 48 px


def test_every_text_contrasts_with_its_ground_light_dark_and_inverted(plain: Written) -> None:
    for page in (plain.page, letters_page.under(plain.html, "prefers-color-scheme: dark")):
        seen = {element.colours for element, _ in page.texts()}
        assert len(seen) >= 3  # text, labels, footer at least: or nothing was looked at
        for text, ground in seen:
            assert contrast(text, ground) >= LEAST_CONTRAST
            assert contrast(inverted(text), inverted(ground)) >= LEAST_CONTRAST


def test_the_dark_page_is_dark(plain: Written) -> None:
    dark = letters_page.under(plain.html, "prefers-color-scheme: dark")
    assert all(contrast(ground, "#000000") < contrast(text, "#000000") for text, ground in (e.colours for e, _ in dark.texts()))


def test_names_are_isolated_from_the_sentence_around_them(letters: list[Written]) -> None:
    for letter in letters:
        isolated = letter.page.find("bdi")
        assert isolated
        # Most mail programs drop <bdi>; what isolates there is the direction of the element around it.
        assert all(element.parent is not None and element.parent.attributes == {"dir": "auto"} for element in isolated)
        for element, text in letter.page.texts():
            inside = {ancestor.tag for ancestor in ancestors(element)}
            assert "bdi" in inside or not any(name in text for name in ("Northwind Traders", "Grace Hopper", "Anna Smith"))


def test_the_preheader_gives_the_answer_and_is_not_shown(plain: Written) -> None:
    [preheader] = [div for div in plain.page.find("div") if div.attributes.get("class") == "preheader"]
    assert preheader.style("display") == "none"
    hidden = "".join(child for child in preheader.children if isinstance(child, str))
    assert 20 <= len(hidden) <= 130


def test_a_charset_is_declared_where_parsers_look_for_it(plain: Written) -> None:
    assert plain.html.index('<meta charset="utf-8">') < 1024


def ancestors(element: Element) -> Iterator[Element]:
    at: Element | None = element
    while at is not None:
        yield at
        at = at.parent


# Plain text


ONLY_IN_HTML = {
    "en": "button|click|below|this link",
    "de": "button|schaltfläche|klick|unten|diesen link",
    "fr": "bouton|cliqu|ci-dessous|ce lien",
    "es": "botón|clic|pulse|abajo|este enlace",
    "ja": "ボタン|クリック|タップ|下記|以下の",
    "ar": "الزر|انقر|اضغط|أدناه|هذا الرابط",
}


def test_text_never_speaks_of_what_only_html_has(kind: LetterKind, language: str) -> None:
    text = write(kind, language, PLAIN).text
    assert not re.search(rf"(?i){ONLY_IN_HTML[language]}|<[a-z/]|&[a-z]+;|&#", text)


def test_text_has_no_empty_stretches(letters: list[Written]) -> None:
    for letter in letters:
        assert "\n\n\n" not in letter.text
        assert not re.search(r"[ \t]\n", letter.text)
        assert "None" not in letter.text
