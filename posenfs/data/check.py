"""Check of a data folder: every annotation is read and every image decoded."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from posenfs.data.datasets.catalogue import DATASETS, DataSource
from posenfs.data.datasets.custom import mirror_warning
from posenfs.data.images import (
    MISSING,
    ImageState,
    describe_faults,
    image_doubts,
    image_paths,
    inspect_images,
    other_sizes,
)
from posenfs.data.sample import Annotations, DataError
from posenfs.data.synthetic.writer import drawn_title
from posenfs.messages import describe_counts, many

_MAX_EXAMPLES = 3  # of a fault, in the text

_Spread = tuple[float, float, float]  # minimum, median, maximum


@dataclass(frozen=True)
class SplitCheck:
    """The result for one split of a data set. Triples are (minimum, median, maximum) in px."""

    name: str
    annotation: str  # path of the annotation file
    people: int = 0
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> people that are not read
    doubtful: dict[str, int] = field(default_factory=dict)  # reason -> people or images
    keypoints: int = 0  # number of people times number of keypoints of the skeleton
    labelled: int = 0
    occluded: int = 0  # of the labelled keypoints
    images: int = 0
    widths: _Spread | None = None
    heights: _Spread | None = None
    box_sides: _Spread | None = None  # the longer side of each box
    boxes: str = ""  # origin of the boxes
    head_sizes: str = ""  # origin and number of the head sizes
    notes: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    title: str = ""  # name in the text; empty: `name`

    def text(self) -> str:
        """Return the result as lines of text."""
        lines = [f"{self.title or self.name}: {self.annotation}"]
        if self.people:
            occluded = "none marked as occluded"
            if self.occluded:
                share = _percent(self.occluded, self.labelled)
                occluded = f"{self.occluded} of these occluded ({share})"
            lines += [
                f"  people      {self.people} in {self.images} images",
                f"  keypoints   {self.labelled} of {self.keypoints} labelled "
                f"({_percent(self.labelled, self.keypoints)}), {occluded}",
                f"  boxes       {self.boxes}; longer side {_range(self.box_sides)} px",
                f"  head sizes  {self.head_sizes}",
            ]
        if self.widths:
            size = f"{_range(self.widths)} px wide, {_range(self.heights)} px high"
            lines.append(f"  images      {size}")
        for left_out in describe_counts(self.left_out):
            lines.append(f"  left out    {left_out}")
        for doubt in describe_counts(self.doubtful):
            lines.append(f"  doubtful    {doubt}")
        lines += [f"  note        {note}" for note in self.notes]
        lines += [f"  wrong       {fault}" for fault in self.wrong]
        return "\n".join(lines)

    def json(self) -> dict:
        """Return the result as a dict for JSON."""
        return asdict(self)


def check_data(root: Path, progress: bool = True) -> list[SplitCheck]:
    """Check every split of every data set in a folder.

    Args:
        root: The folder, or the TOML file of custom data.
        progress: Whether to show progress bars.

    Returns:
        The result of each split. A split whose annotation cannot be read has the reason in `wrong`.

    Raises:
        DataError: There is no data set.
    """
    images: dict[Path, ImageState] = {}
    checks = []
    for name, source, split, annotation in _find_splits(root):
        try:
            annotations = replace(source.read(root, split), title=drawn_title(root, split))
        except DataError as error:
            fault = str(error).removeprefix(f"{annotation}").removeprefix(":").lstrip()
            checks.append(SplitCheck(f"{name} {split}", str(annotation), wrong=(fault,)))
            continue
        unchecked = [path for path in image_paths(annotations) if path not in images]
        images.update(inspect_images(unchecked, full=True, progress=progress))
        checks.append(_check_split(annotations, annotation, images))
    return checks


def _find_splits(root: Path) -> list[tuple[str, DataSource, str, Path]]:
    """The data sets in a folder: name, source, split and annotation file of each split."""
    if not root.exists():
        raise DataError(
            f"no folder {root}; give the one that holds a data set (see data/README.md)"
        )
    if root.is_file() and root.suffix != ".toml":
        raise DataError(
            f"{root} is no data set: give the folder, or the TOML file of your own data"
        )
    splits = []
    for name, source in DATASETS.items():
        for split in ("train", "valid"):
            annotation = None if source.drawn else source.find(root, split)
            if annotation is not None:
                splits.append((name, source, split, annotation))
    descriptions = sorted(root.glob("*.toml"))
    if descriptions and all(annotation.parent == root for *_, annotation in splits):
        raise DataError(
            f"{root} holds data of your own: give the TOML file: posenfs data check "
            f"{descriptions[0]}"
        )
    if not splits:
        raise DataError(
            f"{root} holds no data set: neither annot/train.json or mpii_human_pose_v1_u12_1.mat "
            "(MPII), annotations/person_keypoints_*.json (COCO), nor joints.mat (LSP); see "
            "data/README.md for the folders"
        )
    return splits


def _used_sizes(annotations: Annotations, images: Mapping[Path, ImageState]) -> np.ndarray:
    """[M, 2]: width and height of the decoded images; NaN where an image is broken."""
    sizes = np.full((len(annotations.images), 2), np.nan)
    for number, path in enumerate(image_paths(annotations)):
        if (stored := images[path].stored) is not None:
            sizes[number] = stored.used_size(annotations.annotated_size(number)).xy
    return sizes


def _image_notes(annotations: Annotations, images: Mapping[Path, ImageState]) -> list[str]:
    """The harmless properties of the images, and the number of those that are turned upright."""
    counts: Counter[str] = Counter()
    for number, path in enumerate(image_paths(annotations)):
        counts.update(images[path].properties)
        stored = images[path].stored
        if stored is not None and stored.is_turned(annotations.annotated_size(number)):
            counts["turned upright by an EXIF tag"] += 1
    return [f"{many(count, 'image')} {name}" for name, count in counts.items()]


def _check_split(
    annotations: Annotations, annotation_path: Path, images: Mapping[Path, ImageState]
) -> SplitCheck:
    paths = image_paths(annotations)
    labelled = annotations.visibility > 0
    sizes = _used_sizes(annotations, images)
    sizes = sizes[~np.isnan(sizes).any(1)]
    notes = _image_notes(annotations, images)
    warning = mirror_warning(annotations.skeleton)
    if warning is not None:
        notes.append(warning)
    head_count = int((annotations.head_sizes > 0).sum())
    head_sizes = f"{annotations.head_source}, of {head_count} people"
    if not head_count:
        head_sizes = "none: no PCKh, but PCK by torso or box"
    return SplitCheck(
        name=annotations.name,
        annotation=str(annotation_path),
        people=len(annotations),
        left_out=dict(annotations.excluded),
        doubtful={**annotations.doubtful, **image_doubts(annotations, images)},
        keypoints=labelled.size,
        labelled=int(labelled.sum()),
        occluded=int((annotations.visibility == 1).sum()),
        images=len(paths),
        widths=_spread(sizes[:, 0]),
        heights=_spread(sizes[:, 1]),
        box_sides=_spread(annotations.boxes[:, 2:].max(1)),
        boxes=annotations.box_source,
        head_sizes=head_sizes,
        notes=tuple(notes),
        wrong=(*_image_faults(annotations, images), *_annotation_faults(annotations, images)),
        title=f"{annotations.title}, {annotations.skeleton.name}" if annotations.title else "",
    )


def _image_faults(annotations: Annotations, images: Mapping[Path, ImageState]) -> list[str]:
    """Unusable images, and images whose size differs from the annotated one."""
    paths = image_paths(annotations)
    faults = []
    broken = {path: fault for path in paths if (fault := images[path].fault) is not None}
    if broken:
        message = (
            f"{len(broken)} of {len(paths)} images cannot be used: {describe_faults(broken)} "
            f"(looked in {annotations.root})"
        )
        if list(broken.values()) == [MISSING] * len(paths):
            message += "; give the folder that holds the images with their annotations: for MPII "
            message += "images/ and annot/"
        faults.append(message)
    if others := other_sizes(annotations, images):
        faults.append(others)
    return faults


def _annotation_faults(annotations: Annotations, images: Mapping[Path, ImageState]) -> list[str]:
    """Keypoints and boxes outside of images, unlabelled and repeated people."""
    faults = []
    size = _used_sizes(annotations, images)[annotations.image_index]  # [N, 2]
    labelled, points = annotations.visibility > 0, annotations.keypoints_image
    outside = labelled & ((points < -0.5) | (points > size[:, None] - 0.5)).any(-1)
    if outside.any():
        names = [annotations.images[image] for image in annotations.image_index]
        examples = [
            f"{annotations.skeleton.keypoints[k]} of {names[n]} at "
            f"({points[n, k, 0]:.0f}, {points[n, k, 1]:.0f})"
            for n, k in np.argwhere(outside)[:_MAX_EXAMPLES]
        ]
        count = many(int(outside.sum()), "labelled keypoint")
        faults.append(f"{count} outside the image: {', '.join(examples)}")
    low, high = annotations.boxes[:, :2], annotations.boxes[:, :2] + annotations.boxes[:, 2:]
    boxes_outside = int(((high < 0) | (low > size)).any(1).sum())
    if boxes_outside:
        faults.append(f"{many(boxes_outside, 'box', 'boxes')} wholly outside the image")
    unlabelled = int((~labelled.any(1)).sum())
    if unlabelled:
        faults.append(f"{many(unlabelled, 'person', 'people')} without a labelled keypoint")
    rows = np.column_stack([annotations.image_index, points.reshape(len(annotations), -1)])
    repeated = len(annotations) - len(np.unique(rows[labelled.any(1)], axis=0)) - unlabelled
    if repeated:
        faults.append(
            f"{many(repeated, 'person', 'people')} listed twice: same image, same keypoints"
        )
    return faults


def _spread(values: np.ndarray) -> _Spread | None:
    if not len(values):
        return None
    return float(values.min()), float(np.median(values)), float(values.max())


def _range(spread: _Spread | None) -> str:
    if spread is None:
        return "-"
    low, median, high = (f"{value:.0f}" for value in spread)
    return low if low == high else f"{low} to {high} (median {median})"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
