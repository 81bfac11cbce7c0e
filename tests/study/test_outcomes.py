"""Tests of rows with their results: which results belong to a table, and their architectures."""

from dataclasses import replace

import numpy as np
import pytest

from posenfs.study.outcomes import mean_architectures, outcomes, searched_rows
from posenfs.study.table_files import caption
from tests.study.table_results import PROFILE, result


def test_results_of_other_people_or_weights_are_left_out():
    most = [result("random", seed, 50.0) for seed in range(3)] + [result("synchronous", 0, 51.0)]
    others = [result("synchronous", seed, 60.0) for seed in range(2)]
    begun = result("synchronous", 1, 70.0)
    for entry in others:
        entry["data"] = {**entry["data"], "valid": "other people"}
    begun["data"] = {**begun["data"], "weights": "another file"}
    random, synchronous, first_order = outcomes("table_2", PROFILE, [*others, begun, *most])
    assert random.scores("pckh@0.5") == {0: 50.0, 1: 50.0, 2: 50.0} and random.left_out == 0
    assert synchronous.scores("pckh@0.5") == {0: 51.0} and synchronous.left_out == 3
    assert first_order.results == {} and "Left out: 3" in caption(
        "table_2", [random, synchronous, first_order]
    )


def test_architectures(rows):
    specs, means = mean_architectures(rows)
    assert list(specs) == list(means) and len(means) == 9 and "first order, head" in means
    seeds = [entry["architectures"]["head_part"]["alpha"] for entry in rows[0].results.values()]
    weights = np.exp(seeds) / np.exp(seeds).sum(-1, keepdims=True)
    np.testing.assert_allclose(
        means["random, head"].operation_weights.numpy(), weights.mean(0), atol=1e-6
    )
    assert {label: len(seeds) for label, (_, seeds) in searched_rows(rows).items()} == {
        "random": 3,
        "synchronous": 3,
        "first order": 3,
    }
    assert searched_rows(outcomes("table_2", PROFILE, [result("random", 0, 50.0)])) == {}


def test_results_of_other_sizes_are_not_shown(rows):
    base = replace(PROFILE.base, image_size=(96, 96))
    other = outcomes(
        "table_2",
        replace(PROFILE, base=base),
        [result for row in rows for result in row.results.values()],
    )
    assert not any(outcome.results for outcome in other)
    with pytest.raises(ValueError, match="unknown table 'table_9'"):
        outcomes("table_9", PROFILE, [])
