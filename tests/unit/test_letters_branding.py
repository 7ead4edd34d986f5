"""Looks are checked at start: what cannot be read, or misses a fact, is refused before the first letter."""

import email
import email.policy
import re
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.domain.letters import LetterKind
from jobs.letters import Composer, rehearsal
from jobs.letters.branding import Branding, Unbranded
from jobs.letters.catalogues import languages
from jobs.letters.colours import DARK, LIGHT, contrast, inverted
from jobs.letters.samples import ADDRESSEE, DATED, OCCASION


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#000000", "#ffffff", 21.0), ("#ffffff", "#ffffff", 1.0), ("#777777", "#ffffff", 4.48), ("#0000ff", "#ffffff", 8.59)],
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    assert round(contrast(one, other), 2) == round(contrast(other, one), 2) == ratio


def test_an_inverted_colour_is_its_opposite() -> None:
    assert inverted("#1c54c4") == "#e3ab3b"
    assert inverted("#fffffe") == "#000001"


def test_our_own_colours_hold() -> None:
    assert not [*LIGHT.faults(), *DARK.faults()]
    assert Branding() == Branding(light=LIGHT, dark=DARK)


@pytest.mark.parametrize("colour", ["red", "#fff", "#12345", "1c54c4", "#1c54cg", "", "#1c54c4;}", "url(x)"])
def test_an_unknown_colour_is_refused_by_its_name(colour: str) -> None:
    with pytest.raises(Unbranded, match=r"light colours: link must be a colour such as #1c54c4"):
        Branding(light=replace(LIGHT, link=colour))


def test_what_is_too_faint_is_refused_with_the_figure() -> None:
    with pytest.raises(Unbranded, match=r"light colours: on_button #ffffff on button #ff9900 has a contrast of 2\.14"):
        Branding(light=replace(LIGHT, button="#ff9900"))


def test_what_is_too_faint_only_when_inverted_is_refused_too() -> None:
    palette = replace(LIGHT, quiet="#707070", page="#f7f7f7")
    assert contrast(palette.quiet, palette.page) >= 4.5
    assert list(replace(palette, quiet="#6f6f6f", page="#f0f0ff").faults())


def test_all_faults_come_at_once() -> None:
    with pytest.raises(Unbranded) as caught:
        Branding(
            product_name="\u200b",
            logo_text="x" * 61,
            legal_line="two\nlines",
            support_address="nobody",
            light=replace(LIGHT, text="#ffffff"),
            dark=replace(DARK, card="?"),
            templates=Path("/nowhere/at/all"),
        )
    assert [fault.split(":")[0].split(" must")[0] for fault in caught.value.faults] == [
        *["light colours", "dark colours", "product_name", "logo_text", "legal_line", "support_address", "templates"]
    ]


def test_words_change_what_they_name_and_leave_the_rest() -> None:
    read = Branding.read({"product_name": "Sesame", "colours": "link=#7a1fa2, button=#5b1a7a,", "dark_colours": " line = #000000 "})
    assert read == Branding(
        product_name="Sesame", light=replace(LIGHT, link="#7a1fa2", button="#5b1a7a"), dark=replace(DARK, line="#000000")
    )
    assert Branding.read({}) == Branding()


def test_all_faults_of_words_come_at_once() -> None:
    with pytest.raises(Unbranded) as caught:
        Branding.read({"colours": "lnk=#7a1fa2, #7a1fa2", "dark_colours": "link=blue", "support_address": "nobody", "legal_line": "\u200b"})
    assert [fault.split(" is none of")[0].split(" must")[0] for fault in caught.value.faults] == [
        *["light colours: 'lnk'", "light colours: '#7a1fa2'", "dark colours: link", "legal_line", "support_address"]
    ]


def a_composer(branding: Branding) -> Composer:
    return Composer(
        mail_from="a@example.com", app_url="https://app.example.com", message_id_key=b"k", message_id_key_id="k", branding=branding
    )


def written(branding: Branding, language: str = "en", kind: LetterKind = LetterKind.PROTECTED) -> tuple[str, str, str]:
    composed = a_composer(branding).compose(kind, OCCASION, ADDRESSEE._replace(locale=language), slot="notice", dated=DATED)
    message = email.message_from_bytes(composed.content, policy=email.policy.default)
    text, html = (part.get_content() for part in message.iter_parts())
    return message["Subject"], text, html


def test_a_branding_reaches_text_and_html() -> None:
    branding = Branding(
        product_name="Sesame",
        logo_text="SESAME",
        legal_line="Sesame GmbH, HRB 1 & Co",
        support_address="help@sesame.example",
        light=replace(LIGHT, link="#7a1fa2"),
    )
    _, text, html = written(branding)
    for said in (text, html.replace("&amp;", "&")):
        for fact in ("SESAME", "open ", "Sesame", "Sesame GmbH, HRB 1 & Co", "help@sesame.example"):
            assert fact in said
    assert "color:#7a1fa2" in html


def test_without_a_name_the_app_is_called_by_the_host_members_sign_in_at() -> None:
    assert "open app.example.com the way you always do" in written(Branding())[1]


def test_a_file_of_ones_own_replaces_one_and_leaves_the_rest(tmp_path: Path) -> None:
    a_file(tmp_path, "protected/subject.txt", "{{ organization_in_brief }} says hello to {{ product }}\n")
    subject, text, _ = written(Branding(templates=tmp_path))
    assert subject == "Northwind Traders says hello to app.example.com"
    assert "You are all set" in text


def test_a_sentence_of_ones_own_is_translated_by_a_catalogue_of_ones_own(tmp_path: Path) -> None:
    a_file(tmp_path, "protected/subject.txt", "{% trans %}Good news from {{ product }}{% endtrans %}\n")
    for language in languages() - {"en"}:
        a_file(tmp_path, f"locales/{language}.po", f'msgid "Good news from %(product)s"\nmsgstr "{language}: %(product)s"\n')
    branding = Branding(templates=tmp_path)
    assert written(branding)[0] == "Good news from app.example.com"
    subject, text, _ = written(branding, "de")
    assert subject == "de: app.example.com"
    assert "Bei Ihnen ist alles bereit" in text


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        (
            "protected/subject.txt",
            "{{ orgnization }}",
            r"protected/subject\.txt: orgnization is not a variable of this letter; there are account,",
        ),
        ("protected/subject.txt", "{{ app_url }}", r"app_url is not a variable"),
        ("protected/body.txt", "line\n{% if %}", r"protected/body\.txt: line 2: Expected an expression"),
        ("protected/body.txt", "{{ name|nonsense }}", r"protected/body\.txt: line 1: No filter named 'nonsense'"),
        ("protected/body.htm", "", r"protected/body\.htm: replaces nothing; the files are .*protected/body\.html"),
        ("protected/body.html", '{% extends "_base/outlay.html" %}', r"_base/outlay\.html does not exist"),
        ("_base/layout.txt", "{{ member_kind }}", r"_base/layout\.txt: member_kind is not a variable"),
        ("protected/subject.txt", "{% trans %}Hi{% endtrans %}", r"“Hi” has no translation in locales/ar\.po"),
        ("locales/de.po", 'msgid "x', r"locales/de\.po: .* is no usable catalogue"),
        (
            "locales/de.po",
            'msgid "Hello %(name)s,"\nmsgstr "Hallo %(nmae)s,"',
            r"locales/de\.po: .*“Hallo %\(nmae\)s,” cannot be filled in; its sentence has %\(name\)s",
        ),
        ("locales/de.po", 'msgid "Hello,"\nmsgstr "100 % hallo,"', r"cannot be filled in; .* a per cent sign is written %%"),
        ("locales/tlh.po", "", r"locales/tlh\.po: letters are written in ar, de, en"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_name_and_reason(tmp_path: Path, name: str, content: str, fault: str) -> None:
    a_file(tmp_path, name, content)
    with pytest.raises(Unbranded, match=fault):
        Branding(templates=tmp_path)


def a_file(folder: Path, name: str, content: str, encoding: str = "utf-8") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content, encoding)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    a_file(tmp_path, "protected/subject.txt", "Schöne Grüße", "latin-1")
    with pytest.raises(Unbranded, match=r"protected/subject\.txt: is not UTF-8"):
        Branding(templates=tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("protected/subject.txt", "{% if False %}x{% endif %}", r"^protected: the subject is empty"),
        ("protected/body.txt", " \n", r"^protected: the letter is empty"),
        ("protected/body.txt", "{{ colours.pgae }}", r"^protected: no letter can be written: .*no attribute 'pgae'"),
        ("exempt/body.html", "{{ decided_by.upper() }}", r"^exempt: no letter can be written: 'None' has no attribute 'upper'"),
        ("report/body.txt", "{{ members / 0 }}", r"^report: no letter can be written: division by zero"),
        ("lifted/body.html", "{{ 'x' * 40001 }}", r"^lifted: the HTML has .* octets; at most 40,000"),
    ],
)
def test_what_only_writing_finds_is_found_by_a_rehearsal(tmp_path: Path, name: str, content: str, fault: str) -> None:
    a_file(tmp_path, name, content)
    [found] = rehearsal.faults(Branding(templates=tmp_path))
    assert re.search(fault, found)


def test_a_rehearsal_of_our_own_templates_finds_nothing() -> None:
    assert list(rehearsal.faults(Branding())) == []
