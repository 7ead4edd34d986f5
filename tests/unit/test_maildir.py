"""A folder of mail: what waits, in order; what is done with moves once; what is no mail is left alone."""

import os
from pathlib import Path

import pytest

from workers.maildir import Maildir, NoMaildirError, read_head


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "new").mkdir()
    return tmp_path


def test_what_waits_is_plain_files_the_oldest_first(folder: Path) -> None:
    new = folder / "new"
    for name in ("1700000002.b", "1700000001.a", ".hidden"):
        (new / name).write_bytes(b"mail")
    (new / "1700000003.folder").mkdir()
    os.mkfifo(new / "1700000004.pipe")
    (new / "1700000005.link").symlink_to(new / "1700000001.a")
    assert [path.name for path in Maildir(folder).waiting()] == ["1700000001.a", "1700000002.b"]


def test_what_is_done_with_is_seen_in_cur_and_a_second_reader_is_not_surprised(folder: Path) -> None:
    path = folder / "new" / "1700000001.a:2,"
    path.write_bytes(b"mail")
    Maildir(folder).file_away(path)
    Maildir(folder).file_away(path)
    assert [found.name for found in (folder / "cur").iterdir()] == ["1700000001.a:2,S"]
    assert read_head(path, 10) is None


def test_no_more_is_read_than_asked_for_and_no_link_is_followed(folder: Path) -> None:
    path = folder / "new" / "a"
    path.write_bytes(b"0123456789")
    assert read_head(path, 4) == b"0123"
    link = folder / "new" / "b"
    link.symlink_to(path)
    with pytest.raises(NoMaildirError):
        read_head(link, 4)


def test_a_folder_that_is_no_maildir_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoMaildirError, match="no Maildir"):
        Maildir(tmp_path / "nowhere")


def test_where_nothing_can_be_moved_to_is_said(folder: Path) -> None:
    path = folder / "new" / "a"
    path.write_bytes(b"mail")
    (folder / "cur").write_text("in the way")
    with pytest.raises(NoMaildirError, match="can't be moved"):
        Maildir(folder).file_away(path)
    assert path.exists()
