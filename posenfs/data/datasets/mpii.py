"""MPII in the JSON form that HRNet ships: images/, annot/{train,valid}.json, annot/gt_valid.mat."""

from pathlib import Path

import numpy as np

from posenfs.body.skeleton import HEAD_SHARE, HEAD_SOURCE, MPII, MPII_FILE_KEYPOINTS
from posenfs.data.parsing import finite_numbers, image_name, read_json, read_mat
from posenfs.data.sample import ROOT, DataError, People

# Keypoint k of the paper's order is keypoint FILE_ORDER[k] of a file (footnote 3).
FILE_ORDER = tuple(MPII_FILE_KEYPOINTS.index(name) for name in MPII.keypoints)
# The scale of a person is ten head sizes / 200: so it is, to seven digits, for each of the 2,958 validation people.
_HEAD_OF_SCALE = 20


def find_mpii(root: Path, split: str) -> Path | None:
    """The annotation file of a split, in annot/ or in the folder itself; None where there is none."""
    return next(
        (path for folder in ("annot", ".") if (path := root / folder / f"{split}.json").is_file()),
        None,
    )


def read_mpii(root: Path, split: str) -> People:
    """The people of annot/<split>.json; head sizes and, for scoring, keypoints from gt_<split>.mat beside it.

    Raises DataError for a missing or unsound file.
    """
    path = find_mpii(root, split)
    if path is None:
        raise DataError(
            f"no MPII annotation at {root / 'annot' / split}.json; {ROOT} must hold images/ and annot/ "
            "(see data/README.md)"
        )
    return people_of_json(path, root / "images")


def people_of_json(path: Path, pictures: Path) -> People:
    """The people of a file such as valid.json, whose pictures lie in that folder; see read_mpii.

    Files count pixels from 1 and give a centre and scale; the box is the square of side 200 * scale round the centre
    moved down by 15 * scale. Without gt_valid.mat beside it head sizes come from the scale. Raises DataError for an
    unsound file.
    """
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path} must hold a list with at least one person")
    rows = [_entry(path, number, entry) for number, entry in enumerate(entries)]
    joints, labelled, occluded, centers, scales = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    visibility = np.where(labelled > 0, np.where(occluded > 0, 1, 2), 0)
    head_sizes, head_source = _HEAD_OF_SCALE * scales, f"{_HEAD_OF_SCALE} x scale"
    truth = path.with_name(f"gt_{path.stem}.mat")
    if truth.is_file():
        head_source = HEAD_SOURCE
        joints, missing, head_sizes = mpii_truth(truth, len(rows))
        visibility = np.where(missing, 0, np.maximum(visibility, 1))
    keypoints = np.where(visibility[..., None] > 0, joints - 1, 0)[:, FILE_ORDER]
    names = sorted({entry["image"] for entry in entries})
    position = {name: i for i, name in enumerate(names)}
    return People(
        name=f"mpii {path.stem}",
        skeleton=MPII,
        root=pictures,
        images=tuple(names),
        image_index=np.array([position[entry["image"]] for entry in entries]),
        keypoints_image=keypoints,
        visibility=visibility[:, FILE_ORDER].astype(np.uint8),
        boxes=person_boxes(centers, scales),
        head_sizes=head_sizes,
        person_ids=np.arange(len(rows)),
        box_source="annotated centre and scale",
        head_source=head_source,
    )


def person_boxes(centers: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """centers [N, 2] 1-based, scales [N] -> [N, 4]: the square of side 200 * scale, its centre 15 * scale lower."""
    side = np.repeat(200 * scales[:, None], 2, 1)
    return np.concatenate([centers + np.outer(scales, (0, 15)) - 1 - side / 2, side], -1)


def _entry(path: Path, number: int, entry: dict) -> tuple:
    """joints [16, 2], labelled [16], occluded [16], center [2], scale of one person, checked."""
    place = f"{path}, entry {number}"
    if not isinstance(entry, dict):
        raise DataError(
            f"{place}: each entry needs image, center, scale, joints, joints_vis; this is {entry!r:.80}"
        )
    place += f" ({image_name(place, entry.get('image'))})"
    occluded = entry.get("joints_occluded", [0] * 16)
    shapes = {"joints": (16, 2), "joints_vis": (16,), "center": (2,), "scale": ()}
    values = {
        name: finite_numbers(place, name, entry.get(name), shape) for name, shape in shapes.items()
    }
    if values["scale"] <= 0:
        raise DataError(
            f"{place}: scale {values['scale']:g} gives a box of no size; correct or drop this person"
        )
    occluded = finite_numbers(place, "joints_occluded", occluded, (16,))
    return values["joints"], values["joints_vis"], occluded, values["center"], values["scale"]


def mpii_truth(path: Path, people: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """keypoints [N, 16, 2] (1-based, file order), missing [N, 16], head sizes [N] of a gt_*.mat file, of so many people
    where their number is known.

    Raises DataError for an unsound file, or one of other people.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no ground truth at {path}; give MPII's gt_valid.mat")
    try:
        file = read_mat(path)
        keypoints, heads = (
            file[name].astype(np.float64) for name in ("pos_gt_src", "headboxes_src")
        )
        missing = file["jnt_missing"] > 0
    except Exception as error:  # of a broken file the parser raises nearly anything
        raise DataError(f"{path} is not MPII's ground truth: {error}; copy it again") from None
    people = keypoints.shape[-1] if people is None else people
    if (
        keypoints.shape != (16, 2, people)
        or missing.shape != (16, people)
        or heads.shape != (2, 2, people)
    ):
        raise DataError(
            f"{path} has pos_gt_src {keypoints.shape}, jnt_missing {missing.shape}, headboxes_src {heads.shape}; "
            f"it should be of {people} people: the two files must belong together"
        )
    unsound = ~np.isfinite(keypoints).all(1) & ~missing
    if unsound.any():
        keypoint, person = np.argwhere(unsound)[0]
        raise DataError(
            f"{path}: person {person}'s {MPII_FILE_KEYPOINTS[keypoint]} is labelled and no number"
        )
    if not np.isfinite(heads).all():
        person = np.argwhere(~np.isfinite(heads).all((0, 1)))[0, 0]
        raise DataError(f"{path}: person {person}'s head box is no number")
    return (
        keypoints.transpose(2, 0, 1),
        missing.T,
        HEAD_SHARE * np.linalg.norm(heads[1] - heads[0], axis=0),
    )
