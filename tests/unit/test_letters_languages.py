"""Catalogues: whole, in step with the templates, and with CLDR's plurals."""

import email
import email.policy
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po

from jobs.letters import catalogues
from jobs.letters.catalogues import BrokenCatalogue, direction, languages, translations
from jobs.letters.sentences import collect, updated

FOLDER = Path(catalogues.__file__).parents[2] / "email_templates" / "locales"
TRANSLATED = sorted(languages() - {"en"})
PLACEHOLDER = re.compile(r"%\([a-z_]+\)s")
SAME_AS_ENGLISH: dict[str, set[str]] = {"de": {"Organisation %(id)s"}, "fr": {"Organisation %(id)s"}}


def read(language: str) -> Catalog:
    return read_po(BytesIO((FOLDER / f"{language}.po").read_bytes()), locale=language.replace("-", "_"), abort_invalid=True)


def forms(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or [])


def keys(message: Message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def test_there_are_at_least_six_languages_one_of_them_right_to_left() -> None:
    assert languages() >= {"en", "de", "fr", "es", "ja", "ar"}
    assert [direction(language) for language in ("en", "de", "fr", "es", "ja", "ar")] == ["ltr"] * 5 + ["rtl"]


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_has_exactly_the_sentences_of_the_letters(language: str) -> None:
    assert {message.id for message in read(language)} == {message.id for message in collect()}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_is_translated(language: str) -> None:
    for message in read(language):
        if message.id:
            assert all(form.strip() for form in forms(message)), message.id
            assert not message.fuzzy, message.id
            assert not set(forms(message)) & set(keys(message)), message.id


@pytest.mark.parametrize("language", TRANSLATED)
def test_placeholders_are_the_same(language: str) -> None:
    for message in read(language):
        expected = set(PLACEHOLDER.findall(keys(message)[-1]))
        found = [set(PLACEHOLDER.findall(form)) for form in forms(message)] if message.id else []
        # "One session" and "two sessions" may say the number in a word; what stands for all other numbers may not.
        assert all(placeholders <= expected for placeholders in found), message.id
        assert not found or found[-1] == expected, message.id
        assert not [form for form in forms(message) if "%" in PLACEHOLDER.sub("", form)] or not message.id, message.id


@pytest.mark.parametrize("language", TRANSLATED)
def test_plurals_fall_into_the_forms_that_cldr_has(language: str) -> None:
    catalogue, rule = translations(language), Locale.parse(language, sep="-").plural_form
    pairs = {(rule(number), catalogue.ngettext("%(number)s member", "%(number)s members", number)) for number in range(1_200)}
    categories = {category for category, _ in pairs}
    assert len(pairs) == len(categories)


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_file_is_as_the_tool_would_write_it(language: str) -> None:
    assert (FOLDER / f"{language}.po").read_bytes() == updated(language)


def test_a_new_language_starts_with_every_sentence_and_no_translation() -> None:
    started = read_po(BytesIO(updated("pt-BR")), locale="pt_BR")
    assert {message.id for message in started} == {message.id for message in collect()}
    assert not [message for message in started if message.id and any(forms(message))]


def test_adding_a_language_is_adding_a_catalogue(tmp_path: Path) -> None:
    """In a process of its own: what languages there are is looked up once."""
    for file in FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    portuguese = read("es")
    for message in portuguese:
        if message.id:
            message.string = tuple(f"pt {form}" for form in forms(message)) if isinstance(message.id, tuple) else f"pt {message.string}"
    written = BytesIO()
    write_po(written, portuguese)
    (tmp_path / "pt.po").write_bytes(written.getvalue())
    program = (
        "import sys; from pathlib import Path; from jobs.letters import catalogues; catalogues._FOLDER = Path(sys.argv[1]);"
        "from jobs.domain.letters import LetterKind; from jobs.letters import Composer; from jobs.letters.samples import write_sample;"
        "composer = Composer(mail_from='a@example.com', app_url='https://a.example', message_id_key=b'k', message_id_key_id='k');"
        "sys.stdout.buffer.write(write_sample(composer, LetterKind.PROTECTED, 'pt-BR').content)"
    )
    content = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, check=True).stdout
    letter = email.message_from_bytes(content, policy=email.policy.default)
    assert letter["Content-Language"] == "pt"
    assert letter["Subject"].startswith("pt Northwind Traders")
    text = next(iter(letter.iter_parts())).get_content()
    assert "pt Hola, Anna Smith:" in text
    assert "19 de junho de 2025" in text  # CLDR knows the language


def test_a_broken_catalogue_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "locales").mkdir()
    (tmp_path / "locales" / "de.po").write_text('msgid "Hello,"\nGuten Tag\n')
    with pytest.raises(BrokenCatalogue, match=r"locales/de\.po is no usable catalogue: .+"):
        translations("de", tmp_path)


def test_every_catalogue_of_ours_can_be_loaded() -> None:
    catalogues.load_all()
