"""Messages: operating-system errors, suggestions and notes."""

import errno
import os
import sys
from types import SimpleNamespace

import pytest

from posenfs.messages import error_message, note, suggestion, unknown_entry


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, "permission denied; choose another place, or change its permissions"),
        (errno.EROFS, "its file system is read-only; choose another place"),
        (errno.ENOSPC, "no space is left on the device; free some space, or choose another place"),
        (errno.EISDIR, "it is a folder where a file is needed; give a file"),
        (errno.EIO, f"{os.strerror(errno.EIO)}; check the disk, or choose another place"),
    ],
)
def test_an_os_error_gives_path_reason_and_next_step(tmp_path, number, message):
    path = tmp_path / "file.json"
    error = OSError(number, os.strerror(number), str(path))
    assert error_message(error) == f"cannot read or write {path}: {message}"
    assert (
        error_message(OSError(number, os.strerror(number)))
        == f"cannot read or write a file: {message}"
    )


def test_missing_files_and_folders_and_files_in_the_path(tmp_path):
    (tmp_path / "file").write_text("")
    for path, message in (
        (tmp_path / "none.json", "there is no such file or folder; check its name"),
        (
            tmp_path / "none" / "a.json",
            f"there is no folder {tmp_path / 'none'}; create it, or correct its name",
        ),
        (
            tmp_path / "file" / "a" / "b.json",
            f"{tmp_path / 'file'} is a file where a folder is needed",
        ),
    ):
        with pytest.raises(OSError) as error:
            path.read_text()
        assert error_message(error.value).startswith(f"cannot read or write {path}: {message}")


def test_other_messages_are_unchanged():

    assert error_message(FileNotFoundError("no notebook at a")) == "no notebook at a"
    assert error_message(ValueError("wrong")) == "wrong"


def test_suggestions():
    assert suggestion("serach", ["search", "status"]) == "; did you mean search?"
    assert suggestion("xyzzy", ["search", "status"]) == "."
    assert unknown_entry("backbone", "hrnt", ["hrnet", "vgg"]).startswith(
        "unknown backbone 'hrnt'; known: hrnet, vgg; did you mean hrnet? "
        "A plugin can add more: --plugin FILE"
    )


@pytest.mark.parametrize(
    ("shell", "stream"),
    [(None, "err"), (SimpleNamespace(), "err"), (SimpleNamespace(kernel=1), "out")],
)
def test_a_note_is_plain_in_a_notebook_and_leaves_the_stdout_of_commands_alone(
    shell, stream, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    note("initial weights: random")
    printed = capsys.readouterr()
    assert getattr(
        printed, stream
    ) == "initial weights: random\n" and printed.out + printed.err == getattr(printed, stream)
