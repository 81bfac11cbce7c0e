"""Sweeps of a test over many values, of which `make test` takes some and `make test-all` every one."""

from collections.abc import Collection, Iterable

import pytest


def sweep(values: Iterable, fast: Collection) -> list:
    """The values of a parametrized test; those that are not among `fast` are slow."""

    def given(value):
        marks = [] if value in fast else [pytest.mark.slow]
        return pytest.param(*(value if isinstance(value, tuple) else [value]), marks=marks)

    return [given(value) for value in values]
