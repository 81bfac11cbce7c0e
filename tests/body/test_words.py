"""Notes to the reader: where they go."""

import sys
from types import SimpleNamespace

import pytest

from posenfs.body.words import note


@pytest.mark.parametrize(
    ("shell", "stream"), [(None, "err"), (SimpleNamespace(), "err"), (SimpleNamespace(kernel=1), "out")]
)
def test_a_note_is_plain_in_a_notebook_and_leaves_the_stdout_of_commands_alone(shell, stream, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    note("initial weights: random")
    printed = capsys.readouterr()
    assert getattr(printed, stream) == "initial weights: random\n" and printed.out + printed.err == getattr(
        printed, stream
    )
