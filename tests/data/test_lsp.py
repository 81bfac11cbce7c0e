"""Reader of LSP-extended: keypoints, boxes, head sizes, and the errors of invalid files."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from posenfs.body.skeleton import LSP
from posenfs.data.datasets.lsp import read_joints, read_lsp
from posenfs.data.pixels import load_image
from posenfs.data.sample import DataError

IMAGES = 5003


@pytest.fixture(scope="module")
def joints():
    """[14, 3, images] as in the file; unlabelled coordinates are arbitrary."""
    random = np.random.default_rng(0)
    joints = np.concatenate([random.uniform(10, 150, (14, 2, IMAGES)), np.ones((14, 1, IMAGES))], 1)
    joints[3, :, 5001] = (-40, -3, 0)  # an unlabelled left hip
    joints[12, 2, 5002] = 0  # an unlabelled neck
    joints[:, 2, 7] = 0  # a person without labels
    return joints


def write(root, joints):
    savemat(root / "joints.mat", {"joints": joints})
    (root / "images").mkdir()
    Image.new("RGB", (160, 160)).save(root / "images" / "im05002.jpg")
    return root


def test_keypoints_boxes_and_head_sizes(joints, tmp_path):
    root = write(tmp_path, joints)
    train, valid = read_lsp(root, "train"), read_lsp(root, "valid")
    assert (len(train), len(valid)) == (4999, 3)  # the person without a label is left out
    assert train.images[7] == "im00009.jpg" and valid.person_ids.tolist() == [5001, 5002, 5003]
    assert valid.skeleton is LSP and valid.box_source == "labelled keypoints"
    for n, image in enumerate((5000, 5001, 5002)):
        x, y, label = joints[:, :, image].T
        assert (valid.visibility[n] == 2 * label).all()
        np.testing.assert_array_equal(
            valid.keypoints_image[n], np.stack([x * label, y * label], -1)
        )
        left, top, width, height = valid.boxes[n]
        np.testing.assert_allclose(
            (left, top, left + width, top + height),
            (x[label > 0].min(), y[label > 0].min(), x[label > 0].max(), y[label > 0].max()),
        )
    assert valid.head_sizes[0] == pytest.approx(
        np.linalg.norm(joints[12, :2, 5000] - joints[13, :2, 5000])
    )
    assert np.isnan(valid.head_sizes[2])
    assert load_image(valid.image_path(1)).shape == (3, 160, 160)


def test_a_single_labelled_keypoint_has_a_box(joints, tmp_path):
    joints = joints.copy()
    joints[1:, 2, 5000] = 0
    box = read_lsp(write(tmp_path, joints), "valid").boxes[0]
    assert tuple(box[2:]) == (8, 8) and box[0] + 4 == pytest.approx(joints[0, 0, 5000])


def test_the_original_lsp(tmp_path):
    """[3, 14, images] with 1 where a keypoint is occluded: all keypoints are labelled."""
    joints = np.full((3, 14, 1002), 50.0)
    joints[0] += np.arange(14)[:, None]
    joints[1] += np.arange(1002)
    joints[2] = 0
    joints[2, 3, 1001] = 1
    savemat(tmp_path / "joints.mat", {"joints": joints})
    train, valid = read_lsp(tmp_path, "train"), read_lsp(tmp_path, "valid")
    assert (len(train), len(valid)) == (1000, 2) and valid.name == "lsp_original valid"
    assert train.images[0] == "im0001.jpg" and valid.images == ("im1001.jpg", "im1002.jpg")
    assert (train.visibility == 2).all()
    assert valid.visibility[1].tolist() == [2, 2, 2, 1] + [2] * 10
    assert valid.keypoints_image[1, 3].tolist() == [53, 1051] and not valid.excluded
    np.testing.assert_array_equal(valid.boxes[0], [50, 1046, 13, 8])
    points, visibility = read_joints(tmp_path / "joints.mat")
    assert points.shape == (1002, 14, 2) and (visibility > 0).all()


def test_an_error_names_the_invalid_file(joints, tmp_path):

    with pytest.raises(DataError, match=r"no LSP annotation at .*joints.mat"):
        read_lsp(tmp_path, "train")
    (tmp_path / "joints.mat").write_bytes(b"no mat file")
    with pytest.raises(DataError, match="joints.mat is not LSP's annotation"):
        read_lsp(tmp_path, "train")
    savemat(tmp_path / "joints.mat", {"joints": np.array([["a"], [1, 2]], dtype=object)})
    with pytest.raises(DataError, match="joints.mat is not LSP's annotation"):
        read_lsp(tmp_path, "train")
    savemat(tmp_path / "joints.mat", {"joints": joints[:13]})
    with pytest.raises(DataError, match=r"shape \(13, 3, 5003\), expected \(14, 3, images\)"):
        read_lsp(tmp_path, "train")
    savemat(tmp_path / "joints.mat", {"joints": joints.transpose(1, 0, 2)})
    with pytest.raises(DataError, match=r"\(3, 14, 5003\), as the original LSP, which has 2000 im"):
        read_lsp(tmp_path, "train")
    savemat(tmp_path / "joints.mat", {"joints": joints.transpose(2, 0, 1)})
    with pytest.raises(
        DataError, match=r"\(5003, 14, 3\), expected .* or \(3, 14, images\): x, y, o"
    ):
        read_lsp(tmp_path, "train")
    marked = joints.copy()
    marked[5, 2, 9] = 0.5
    savemat(tmp_path / "joints.mat", {"joints": marked})
    with pytest.raises(DataError, match="image 10 has label 0.5 at left_ankle; it must be 0 or 1"):
        read_lsp(tmp_path, "train")
    savemat(tmp_path / "joints.mat", {"joints": joints[..., :100]})
    with pytest.raises(DataError, match="no labelled person for valid; it has 100 images"):
        read_lsp(tmp_path, "valid")
    broken = joints.copy()
    broken[4, 0, 60] = np.nan
    savemat(tmp_path / "joints.mat", {"joints": broken})
    with pytest.raises(DataError, match="image 61 has a labelled keypoint that is no number"):
        read_lsp(tmp_path, "train")
