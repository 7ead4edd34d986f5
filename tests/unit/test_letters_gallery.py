"""The gallery shows every letter, as it is sent, without network or script."""

from pathlib import Path

from jobs.domain.letters import LetterKind
from jobs.letters.catalogues import languages
from jobs.letters.gallery import write_gallery
from tests.unit import letters_page


def test_the_gallery_shows_every_kind_in_every_language_four_times(tmp_path: Path) -> None:
    path = write_gallery(tmp_path / "new" / "folder")
    page = letters_page.read(path.read_text("utf-8"))
    frames = [frame.attributes["title"] for frame in page.find("iframe")]
    assert frames == [
        f"{kind}, {language}, {pane}" for kind in LetterKind for language in sorted(languages()) for pane in ("light", "dark", "phone")
    ]
    assert len(page.find("pre")) == len(LetterKind) * len(languages())


def test_light_and_dark_do_not_depend_on_the_readers_screen(tmp_path: Path) -> None:
    page = letters_page.read(write_gallery(tmp_path).read_text("utf-8"))
    light, dark, phone, *_ = (frame.attributes["srcdoc"] for frame in page.find("iframe"))
    assert "@media not all" in light == phone
    assert "@media all" in dark
    assert "prefers-color-scheme" not in light + dark


def test_the_gallery_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    text = write_gallery(tmp_path).read_text("utf-8")
    assert not [element for element in letters_page.read(text).walk() if element.tag in {"script", "link", "img"}]
    assert 'src="' not in text
