"""Readers of ground-truth files."""

import json
import shutil

import numpy as np
import pytest

from posenfs.data.sample import DataError
from posenfs.evaluation.ground_truth import read_truth


def test_the_given_file_is_read(drawn, tmp_path):
    """A file of the same name in annot/ is not read instead."""
    shutil.copytree(drawn / "annot", tmp_path / "annot")
    people = json.loads((drawn / "annot" / "valid.json").read_text())
    (tmp_path / "valid.json").write_text(json.dumps(people[:2]))
    part = read_truth(tmp_path / "valid.json")
    whole = read_truth(tmp_path / "annot" / "valid.json")
    assert len(part) == 2 < len(whole) == len(people)
    np.testing.assert_array_equal(part.keypoints_image, whole.keypoints_image[:2])


def test_invalid_ground_truth_raises_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no ground truth"):
        read_truth(tmp_path / "none.mat")
    for name, message in (
        ("a.mat", "cannot be read"),
        ("a.txt", "ground truth is"),
        ("a.json", "not JSON"),
    ):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(DataError, match=message):
            read_truth(tmp_path / name)
