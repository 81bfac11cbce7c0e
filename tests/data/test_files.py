"""Files written whole or not at all."""

import os

import pytest

from posenfs.data.files import beside, left_half, write_whole


@pytest.fixture
def private():
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_the_rights_are_those_of_any_new_file(private, tmp_path):
    write_whole(tmp_path / "a.json", "{}")
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o600


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match="none/a.json'$"):
        write_whole(tmp_path / "none" / "a.json", "{}")


def test_where_writing_fails_the_old_one_stays(tmp_path):
    write_whole(tmp_path / "a.json", "old")
    with pytest.raises(ZeroDivisionError), beside(tmp_path / "a.json") as written:
        written.write_text("half")
        assert list(left_half(tmp_path)) == [written] and written.suffix == ".json"
        raise ZeroDivisionError
    assert (tmp_path / "a.json").read_text() == "old" and not list(left_half(tmp_path))
