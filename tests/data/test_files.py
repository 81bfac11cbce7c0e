"""Atomic writes: a file is written completely or not at all."""

import os

import pytest

from posenfs.data.files import atomic_path, check_output_file, temporary_files, write_atomic


@pytest.fixture
def restrictive_umask():
    old_mask = os.umask(0o077)
    yield
    os.umask(old_mask)


def test_a_written_file_has_the_permissions_of_any_new_file(restrictive_umask, tmp_path):
    write_atomic(tmp_path / "a.json", "{}")
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o600


def test_an_error_names_the_requested_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none/a.json'$"):
        write_atomic(tmp_path / "none" / "a.json", "{}")


def test_the_old_file_stays_if_writing_fails(tmp_path):
    write_atomic(tmp_path / "a.json", "old")
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        assert list(temporary_files(tmp_path)) == [temporary] and temporary.suffix == ".json"

        raise ZeroDivisionError
    assert (tmp_path / "a.json").read_text() == "old" and not list(temporary_files(tmp_path))


def test_an_output_file_is_checked_and_nothing_is_created(tmp_path):
    (tmp_path / "file").write_text("in the way")
    check_output_file(tmp_path / "new" / "a.json")
    with pytest.raises(ValueError, match=r"is a folder; give a file \(--output\)"):
        check_output_file(tmp_path)
    with pytest.raises(ValueError, match=r"file is a file; choose a folder \(--card\)"):
        check_output_file(tmp_path / "file" / "a.json", "--card")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
