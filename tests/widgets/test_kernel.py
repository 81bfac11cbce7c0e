"""The installed kernel processes and acknowledges each widget change while a cell awaits."""

from importlib import metadata

import pytest

from posenfs.widgets import kernel


def test_installed_kernel_acknowledges_every_change_while_a_cell_awaits():
    assert kernel.probe_kernel(changes=3) == 3


@pytest.mark.parametrize(
    ("version", "warns"), [("6.31.0", True), ("7.1.0", False), ("7.4.0", False), ("10.0", False)]
)
def test_warning_for_old_versions(version, warns, monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: version)
    warning = kernel.kernel_warning()
    assert bool(warning) == warns and (not warns or f"ipykernel {version}" in warning)


def test_outside_a_kernel_nothing_happens():
    kernel.acknowledge_changes()
