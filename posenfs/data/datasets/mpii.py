"""Reader of MPII in HRNet's JSON form: images/, annot/{train,valid}.json, annot/gt_valid.mat."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from posenfs.body.skeleton import HEAD_SHARE, HEAD_SOURCE, MPII, MPII_FILE_KEYPOINTS
from posenfs.data.datasets.coordinates import refuse_normalised
from posenfs.data.image_paths import find_images
from posenfs.data.parsing import MAX_PX, finite_numbers, image_name, read_json, read_mat
from posenfs.data.sample import ROOT, Annotations, DataError

# Keypoint k of the paper's order is keypoint FILE_ORDER[k] of a file (footnote 3).
FILE_ORDER = tuple(MPII_FILE_KEYPOINTS.index(name) for name in MPII.keypoints)
# A person's scale is ten head sizes / 200; this holds to seven digits for all 2,958 validation
# people.
_HEAD_OF_SCALE = 20


def find_mpii(root: Path, split: str) -> Path | None:
    """Return the annotation file of a split, or None where it is missing.

    Args:
        root: The data folder; the file is in its annot/ or in the folder itself.
        split: train or valid.
    """
    for folder in ("annot", "."):
        path = root / folder / f"{split}.json"
        if path.is_file():
            return path
    return None


def read_mpii(root: Path, split: str) -> Annotations:
    """Read the people of annot/<split>.json.

    Head sizes and the keypoints for scoring come from gt_<split>.mat beside it.

    Args:
        root: The data folder.
        split: train or valid.

    Raises:
        DataError: A file is missing or invalid.
    """
    path = find_mpii(root, split)
    if path is None:
        raise DataError(
            f"no MPII annotation at {root / 'annot' / split}.json; {ROOT} must hold images/ and "
            "annot/ (see data/README.md)"
        )
    return find_images(annotations_of_json(path, root / "images"), [root / "images", root])


def annotations_of_json(path: Path, image_folder: Path) -> Annotations:
    """Read the people of a file such as valid.json.

    The files count pixels from 1 and give a centre and a scale; the box is the square of side
    200 * scale around the centre moved down by 15 * scale. Without gt_<split>.mat beside the file
    head sizes come from the scale.

    Args:
        path: The JSON file.
        image_folder: The folder of the images.

    Raises:
        DataError: The file is invalid.
    """
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path} must hold a list with at least one person")
    rows = [_entry(path, number, entry) for number, entry in enumerate(entries)]
    joints = np.array([row.joints for row in rows])
    labelled = np.array([row.labelled for row in rows])
    occluded = np.array([row.occluded for row in rows])
    scales = np.array([row.scale for row in rows])
    visibility = np.where(labelled > 0, np.where(occluded > 0, 1, 2), 0)
    head_sizes, head_source = _HEAD_OF_SCALE * scales, f"{_HEAD_OF_SCALE} x scale"
    truth_path = path.with_name(f"gt_{path.stem}.mat")
    if truth_path.is_file():
        head_source = HEAD_SOURCE
        joints, missing, head_sizes = mpii_truth(truth_path, len(rows))
        visibility = np.where(missing, 0, np.maximum(visibility, 1))
    keypoints = np.where(visibility[..., None] > 0, joints - 1, 0)[:, FILE_ORDER]
    advice = "multiply them by the images' sizes and add 1"
    doubtful = refuse_normalised(str(path), advice, joints, visibility > 0)
    names = sorted({entry["image"] for entry in entries})
    position = {name: number for number, name in enumerate(names)}
    return Annotations(
        name=f"mpii {path.stem}",
        skeleton=MPII,
        root=image_folder,
        images=tuple(names),
        image_index=np.array([position[entry["image"]] for entry in entries]),
        keypoints_image=keypoints,
        visibility=visibility[:, FILE_ORDER].astype(np.uint8),
        boxes=person_boxes(np.array([row.center for row in rows]), scales),
        head_sizes=head_sizes,
        person_ids=np.arange(len(rows)),
        box_source="annotated centre and scale",
        head_source=head_source,
        doubtful=doubtful,
    )


def person_boxes(centers: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return the squares of side 200 * scale around centres moved down by 15 * scale.

    Args:
        centers: [N, 2] image px, 1-based.
        scales: [N].

    Returns:
        [N, 4] x, y, width, height, 0-based.
    """
    side = np.repeat(200 * scales[:, None], 2, 1)
    return np.concatenate([centers + np.outer(scales, (0, 15)) - 1 - side / 2, side], -1)


class _Entry(NamedTuple):
    joints: np.ndarray  # [16, 2]
    labelled: np.ndarray  # [16]
    occluded: np.ndarray  # [16]
    center: np.ndarray  # [2]
    scale: np.ndarray  # []


def _entry(path: Path, number: int, entry: dict) -> _Entry:
    """One person of a JSON file, checked."""
    place = f"{path}, entry {number}"
    if not isinstance(entry, dict):
        raise DataError(
            f"{place}: each entry needs image, center, scale, joints, joints_vis; this is "
            f"{entry!r:.80}"
        )
    place += f" ({image_name(place, entry.get('image'))})"
    labelled = _flags(place, "joints_vis", entry.get("joints_vis"))
    joints = finite_numbers(place, "joints", entry.get("joints"), (16, 2), unused=labelled == 0)
    center = finite_numbers(place, "center", entry.get("center"), (2,))
    scale = finite_numbers(place, "scale", entry.get("scale"), ())
    if not 0 < 200 * scale <= MAX_PX:
        what = "of no size" if scale <= 0 else f"of {200 * scale:g} px"
        raise DataError(f"{place}: scale {scale:g} gives a box {what}; correct or drop this person")
    occluded = _flags(place, "joints_occluded", entry.get("joints_occluded", [0] * 16))
    return _Entry(joints, labelled, occluded, center, scale)


def _flags(place: str, name: str, value: object) -> np.ndarray:
    """[16]: 0 or 1 for each keypoint."""
    flags = finite_numbers(place, name, value, (16,))
    unknown = flags[~np.isin(flags, (0, 1))]
    if unknown.size:
        raise DataError(f"{place}: {name} holds {unknown[0]:g}; each must be 0 or 1")
    return flags


def mpii_truth(path: Path, people: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a gt_*.mat file.

    Args:
        path: The file.
        people: The expected number N of people; None accepts any.

    Returns:
        Keypoints [N, 16, 2] (1-based px, file order), missing [N, 16] and head sizes [N] px.

    Raises:
        FileNotFoundError: There is no file.
        DataError: The file is invalid or holds another number of people.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no ground truth at {path}; give MPII's gt_valid.mat")
    try:
        content = read_mat(path)
        keypoints = content["pos_gt_src"].astype(np.float64)
        heads = content["headboxes_src"].astype(np.float64)
        missing = content["jnt_missing"] > 0
    except Exception as error:  # a broken file can raise nearly any exception
        raise DataError(f"{path} is not MPII's ground truth: {error}; copy it again") from None
    people = keypoints.shape[-1] if people is None else people
    shapes = (keypoints.shape, missing.shape, heads.shape)
    if shapes != ((16, 2, people), (16, people), (2, 2, people)):
        raise DataError(
            f"{path} has pos_gt_src {keypoints.shape}, jnt_missing {missing.shape}, headboxes_src "
            f"{heads.shape}; expected {people} people: the two files must belong together"
        )
    invalid = ~np.isfinite(keypoints).all(1) & ~missing
    if invalid.any():
        keypoint, person = np.argwhere(invalid)[0]
        name = MPII_FILE_KEYPOINTS[keypoint]
        raise DataError(f"{path}: person {person}'s {name} is labelled but not a number")
    if not np.isfinite(heads).all():
        person = np.argwhere(~np.isfinite(heads).all((0, 1)))[0, 0]
        raise DataError(f"{path}: person {person}'s head box is not a number")
    head_sizes = HEAD_SHARE * np.linalg.norm(heads[1] - heads[0], axis=0)
    return keypoints.transpose(2, 0, 1), missing.T, head_sizes
