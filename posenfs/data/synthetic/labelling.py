"""Labels of drawn people: keypoints and their visibility, boxes, head boxes, centres."""

from dataclasses import dataclass

import numpy as np

from posenfs.body.skeleton import COCO, HEAD_SHARE, MPII
from posenfs.data.synthetic.rendering import Canvas, Figure, bounds

_FACE = ("nose", "eye", "ear")
# Position of MPII's annotated centres, lowered by 15 * scale, relative to the middle of the body:
# mean and standard deviation (x, y) over the validation people, in sides of the box 200 * scale.
_CENTER_OFFSET, _CENTER_SPREAD = (0.0, 0.038), (0.051, 0.055)
# Depth of the flesh around a keypoint, in standing heights. A surface further out than this hides
# the keypoint.
_FLESH = {
    "head_top": 0.08, "upper_neck": 0.075, "thorax": 0.11, "pelvis": 0.12, "shoulder": 0.085,
    "elbow": 0.075, "wrist": 0.05, "hip": 0.11, "knee": 0.1, "ankle": 0.06,
    "nose": 0.025, "eye": 0.025, "ear": 0.03,
}  # fmt: skip


@dataclass(frozen=True)
class DrawnPerson:
    """A person in an image. Coordinates are 0-based px; an integer is the centre of a pixel.

    Keypoints and visibility have the keys MPII.name and COCO.name. Visibility is 0 outside the
    image, 1 occluded (by an object, a person or the body itself), 2 visible. Occluded keypoints of
    COCO's face are 0, because COCO's annotators do not label the face of a person seen from behind.
    """

    keypoints: dict[str, np.ndarray]  # [K, 2] each
    visibility: dict[str, np.ndarray]  # [K] each
    head_box: np.ndarray  # [2, 2] upper left and lower right corner, not clipped to the image
    box: tuple[float, float, float, float]  # x, y, width, height of the body, clipped to the image
    area: int  # number of visible pixels
    center: tuple[float, float]  # the annotated centre, near the middle of the body


def label_person(
    person: Figure, canvas: Canvas, owner: int, rng: np.random.Generator
) -> DrawnPerson:
    """Label a person in an image.

    Args:
        person: The person.
        canvas: The canvas of the whole image.
        owner: Number of the person on the canvas.
        rng: The random generator of the annotated centre.
    """
    keypoints, visibility = {}, {}
    for skeleton in (MPII, COCO):
        positions = np.array([person.joints[name] for name in skeleton.keypoints])
        # Rounding here makes the coordinates in memory equal to those in the files.
        keypoints[skeleton.name] = positions[:, :2].round(3)
        flesh = np.array([_FLESH[_without_side(name)] for name in skeleton.keypoints])
        depth = flesh * person.height
        visibility[skeleton.name] = _visibility(positions, depth, canvas, owner)
    is_face = np.array([_without_side(name) in _FACE for name in COCO.keypoints])
    visibility[COCO.name][is_face & (visibility[COCO.name] == 1)] = 0
    low, high = bounds(person.shapes)
    low = np.maximum(low, -0.5)
    high = np.minimum(high, np.array(canvas.owner.shape)[::-1] - 0.5)
    (left, top), (width, height) = low.round(3).tolist(), (high - low).round(3).tolist()
    area = int(np.count_nonzero(canvas.owner == owner))
    head_box = _head_box(person)
    side = 200 * mpii_scale(head_box)
    offset = rng.normal(_CENTER_OFFSET, _CENTER_SPREAD) * side - [0, 15 * side / 200]
    middle = np.array([left, top]) + np.array([width, height]) / 2
    x, y = (middle + offset).round(3).tolist()
    box = (left, top, width, height)
    return DrawnPerson(keypoints, visibility, head_box, box, area, (x, y))


def _without_side(name: str) -> str:
    return name.removeprefix("left_").removeprefix("right_")


def _visibility(positions: np.ndarray, flesh: np.ndarray, canvas: Canvas, owner: int) -> np.ndarray:
    """Visibility [K] of keypoints [K, 3]: 0 outside the image, 1 occluded, 2 visible.

    A keypoint is visible where its pixel shows the person, at most `flesh` [K] px nearer than it.
    """
    x, y = np.rint(positions[:, :2]).astype(int).T
    height, width = canvas.owner.shape
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    pixel = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    is_near = canvas.depth[pixel] - positions[:, 2] <= flesh
    visible = (canvas.owner[pixel] == owner) & is_near
    return np.where(inside, np.where(visible, 2, 1), 0)


def _head_box(person: Figure) -> np.ndarray:
    """[2, 2]: the box around skull, chin, head top and upper neck."""
    reach = person.height * person.head * np.array([0.062, 0.032, 0.0, 0.0])[:, None]
    names = ("skull", "chin", "head_top", "upper_neck")
    positions = np.array([person.joints[name][:2] for name in names])
    return np.stack([(positions - reach).min(0), (positions + reach).max(0)]).round(3)


def mpii_scale(head_box: np.ndarray) -> float:
    """Return MPII's scale, a person's height / 200; MPII takes the height as ten head sizes.

    Args:
        head_box: Upper left and lower right corner [2, 2] in px.
    """
    return 10 * HEAD_SHARE * float(np.linalg.norm(head_box[1] - head_box[0])) / 200
