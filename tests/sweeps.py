"""Sweeps of a test over many values, of which `make test` takes some and `make test-all` every one."""

from collections.abc import Callable, Collection, Iterable

import pytest
from hypothesis import settings


def sweep(values: Iterable, fast: Collection) -> list:
    """The values of a parametrized test; those that are not among `fast` are slow."""

    def given(value):
        marks = [] if value in fast else [pytest.mark.slow]
        return pytest.param(*(value if isinstance(value, tuple) else [value]), marks=marks)

    return [given(value) for value in values]


def examples(fast: int, every: int) -> Callable:
    """For a property (`given`): so many examples in `make test`, and so many in `make test-all`."""

    def parametrized(holds):
        @pytest.mark.parametrize("number", sweep([fast, every], fast=[fast]))
        def test(number):
            # As a decorator, `settings` refuses a test that already has some.
            holds._hypothesis_internal_use_settings = settings(max_examples=number, deadline=None)
            holds()

        return test

    return parametrized
