"""Templates, dataclasses and text against HTML: nothing missing, nothing unused, nothing said in one only."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from jinja2 import Environment, UndefinedError, meta, nodes

from jobs.domain.letters import LetterKind
from jobs.letters.contents import LETTERS
from jobs.letters.sentences import sentences_of
from jobs.letters.templates import FILES, STYLE, environment, render

ENGLISH = environment("en")


def variables_of(made: Environment, name: str) -> set[str]:
    """Every variable of a template and of all that it extends or includes, less what the environment provides."""
    assert made.loader is not None
    source, _, _ = made.loader.get_source(made, name)
    tree = made.parse(source)
    found = meta.find_undeclared_variables(tree) - set(made.globals)
    for other in meta.find_referenced_templates(tree):
        assert other is not None
        found |= variables_of(made, other)
    return found


def sentences_in_file(name: str) -> set[str]:
    assert ENGLISH.loader is not None
    return sentences_of(ENGLISH.loader.get_source(ENGLISH, name)[0])


@pytest.mark.parametrize("kind", LetterKind)
def test_a_letters_fields_are_exactly_its_templates_variables(kind: LetterKind) -> None:
    asked = set().union(*(variables_of(ENGLISH, name) for name in (*(f"{kind}/{file}" for file in FILES), STYLE)))
    assert asked == {field.name for field in fields(LETTERS[kind])}


def test_every_kind_has_its_dataclass_and_its_three_files() -> None:
    assert set(LETTERS) == set(LetterKind)
    for kind in LetterKind:
        for file in FILES:
            ENGLISH.get_template(f"{kind}/{file}")


@pytest.mark.parametrize("kind", LetterKind)
def test_text_and_html_have_the_same_sentences_but_for_the_preheader(kind: LetterKind) -> None:
    text, html = sentences_in_file(f"{kind}/body.txt"), sentences_in_file(f"{kind}/body.html")
    assert not text - html
    assert len(html - text) == 1


def test_the_layouts_have_the_same_sentences() -> None:
    assert sentences_in_file("_base/layout.txt") == sentences_in_file("_base/layout.html")


@pytest.mark.parametrize("name", ENGLISH.list_templates(extensions=["html", "txt"]))
def test_no_word_stands_outside_of_a_sentence_that_can_be_translated(name: str) -> None:
    assert ENGLISH.loader is not None
    source, _, _ = ENGLISH.loader.get_source(ENGLISH, name)
    without_sentences = re.sub(r"(?s){% trans.*?{% endtrans %}", "", source)
    raw = "".join(data.data for data in parsed_data(without_sentences))
    visible = re.sub(r"(?s)<!--.*?-->|<style.*?</style>|<[^>]*>", "", raw)
    assert not re.findall(r"[^\W\d_]{2,}", visible)


def parsed_data(source: str) -> list[nodes.TemplateData]:
    return list(ENGLISH.parse(source).find_all(nodes.TemplateData))


def test_an_unknown_variable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "protected").mkdir()
    (tmp_path / "protected" / "subject.txt").write_text("{{ orgnization }}")
    with pytest.raises(UndefinedError, match="orgnization"):
        render(environment("en", tmp_path), LetterKind.PROTECTED, {})
