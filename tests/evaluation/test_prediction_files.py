"""Files of others' predictions: every format, and invalid files."""

import json

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from posenfs.body.skeleton import MPII_FILE_KEYPOINTS
from posenfs.data.sample import DataError
from posenfs.evaluation.prediction_files import read_predictions


@pytest.mark.parametrize("suffix", ["npy", "mat", "h5", "json"])
def test_every_format_of_predictions(suffix, tmp_path):
    array, path = np.random.default_rng(0).uniform(0, 99, (3, 16, 2)), tmp_path / f"preds.{suffix}"
    if suffix == "npy":
        np.save(path, array)
    elif suffix == "mat":
        savemat(path, {"preds": array, "more": 1})
    elif suffix == "h5":
        with h5py.File(path, "w") as file:
            file["preds"] = array
    else:
        path.write_text(json.dumps(array.tolist()))
    assert read_predictions(path, MPII_FILE_KEYPOINTS) == pytest.approx(array)


def matlab73(path, array, name="preds"):
    """Write a file of MATLAB 7.3: HDF5 after a header of 512 bytes, axes in reverse order."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file[name] = array.T
    with open(path, "rb+") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def test_predictions_by_other_names_and_of_matlab_73(tmp_path):
    points = np.random.default_rng(0).uniform(0, 99, (5, 16, 2))
    scored = np.concatenate([points, np.ones((5, 16, 1))], -1)
    matlab73(tmp_path / "a.mat", points)
    savemat(
        tmp_path / "b.mat",
        {"found": scored, "scores": np.ones((5, 16, 1)), "version": "1", "cell": np.array({})},
    )
    matlab73(tmp_path / "c.h5", scored)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_group("results")["preds"] = points.astype(np.float32)
        file["truth"] = points + 1
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["points"], file["visible"] = points, np.ones((5, 16))
        file.create_group("of nothing")
    (tmp_path / "f.json").write_text(json.dumps({"preds": points.tolist(), "by": "us"}))
    np.save(tmp_path / "g.npy", scored)
    for path in sorted(tmp_path.iterdir()):
        assert read_predictions(path, MPII_FILE_KEYPOINTS) == pytest.approx(points, abs=1e-5), path


@pytest.mark.parametrize("axes", [(1, 2, 0), (2, 1, 0), (1, 0, 2)])
def test_the_order_of_axes_is_not_guessed(axes, tmp_path):
    """Axes in another order are refused, by a message with both shapes and the next step."""
    path = tmp_path / "preds.mat"
    array = np.zeros((5, 16, 2)).transpose(axes)
    savemat(path, {"preds": array})
    with pytest.raises(DataError) as error:
        read_predictions(path, MPII_FILE_KEYPOINTS)
    message = str(error.value)
    assert message.startswith(f"{path} holds preds of shape {list(array.shape)}; expected numbers")
    assert "[N, 16, 2] or [N, 16, 3] (persons, keypoints, " in message
    assert "transpose an array whose axes have another order" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((3, 15, 2)), r"\[3, 15, 2\]; expected numbers of shape \[N, 16, 2\]"),
        (np.zeros((16, 16, 3, 1)), r"\[16, 16, 3, 1\]"),
        (np.zeros((2, 16, 16)), r"\[2, 16, 16\]"),
        (np.zeros((0, 16, 2)), r"\[0, 16, 2\]"),
        (np.full((3, 16, 2), np.nan), r"person 0's right_ankle is \[nan, nan\]"),
        (np.full((3, 16, 2), np.inf), r"\[inf, inf\]"),
        (np.array([["a"]]), "its array, no numbers"),
        (np.array([{}], dtype=object), "cannot be read"),
    ],
)
def test_invalid_predictions_raise_an_error(content, message, tmp_path):
    np.save(tmp_path / "bad.npy", content)
    with pytest.raises(DataError, match=message) as error:
        read_predictions(tmp_path / "bad.npy", MPII_FILE_KEYPOINTS)
    assert "bad.npy" in str(error.value)


def test_unreadable_files_raise_an_error(tmp_path):
    for name, message in (
        ("a.npy", "cannot be read"),
        ("a.h5", "cannot be read"),
        ("a.txt", "are read from .npy"),
    ):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(DataError, match=message):
            read_predictions(tmp_path / name, MPII_FILE_KEYPOINTS)
    savemat(tmp_path / "b.mat", {"one": 1, "two": 2})
    with pytest.raises(
        DataError, match=r"one of shape \[1, 1\], two of shape \[1, 1\]; expected numbers"
    ):
        read_predictions(tmp_path / "b.mat", MPII_FILE_KEYPOINTS)
    savemat(tmp_path / "c.mat", {"one": np.zeros((3, 16, 2)), "two": np.ones((3, 16, 2))})
    with pytest.raises(DataError, match="one, two may each be the predictions; name them `preds`"):
        read_predictions(tmp_path / "c.mat", MPII_FILE_KEYPOINTS)
    for text, message in (
        ("[" * 10**5, "recursion limit"),
        ("[[[1" + "0" * 400 + ", 0]]]", "no numbers"),
        ("[]", "shape"),
    ):
        (tmp_path / "d.json").write_text(text)
        with pytest.raises(DataError, match=message):
            read_predictions(tmp_path / "d.json", MPII_FILE_KEYPOINTS)
