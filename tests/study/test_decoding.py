"""Tests of the decoding table."""

import pytest

from posenfs.body.skeleton import MPII
from posenfs.data.geometry import ImageSize
from posenfs.study.decoding import decoding_table


@pytest.mark.parametrize("size", [ImageSize(96, 96), ImageSize(256, 192)])
def test_decodings_are_unbiased_and_increasingly_accurate(size):
    table = decoding_table(MPII, size).set_index(["decoding", "flip"])
    assert table[["bias x", "bias y"]].abs().max().max() < 0.05
    for flip in ("no", "yes"):
        errors = [
            table.loc[(name, flip), "mean error"] for name in ("argmax", "quarter offset", "dark")
        ]
        assert errors[0] > 1.8 * errors[1] > 10 * errors[2]
        assert table.loc[("quarter offset", flip), "greatest error"] <= 0.36 * 4
