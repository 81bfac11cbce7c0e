"""Check of a data folder: every annotation is read and every image decoded."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from tqdm import tqdm

from posenfs.data.datasets.catalogue import DATASETS, DataSource
from posenfs.data.datasets.custom import mirror_warning
from posenfs.data.geometry import ImageSize
from posenfs.data.images import describe_faults, upright_size
from posenfs.data.sample import IMAGE_ERRORS, Annotations, DataError
from posenfs.data.synthetic.writer import drawn_title
from posenfs.messages import many

_MAX_EXAMPLES = 3  # of a fault, in the text
_MISSING = "missing"

_Spread = tuple[float, float, float]  # minimum, median, maximum


@dataclass(frozen=True)
class SplitCheck:
    """The result for one split of a data set. Triples are (minimum, median, maximum) in px."""

    name: str
    annotation: str  # path of the annotation file
    people: int = 0
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> people that are not read
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
            left_out = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
            occluded = "none marked as occluded"
            if self.occluded:
                share = _percent(self.occluded, self.labelled)
                occluded = f"{self.occluded} of these occluded ({share})"
            lines += [
                f"  people      {self.people} in {self.images} images"
                + (f"; left out: {left_out}" if left_out else ""),
                f"  keypoints   {self.labelled} of {self.keypoints} labelled "
                f"({_percent(self.labelled, self.keypoints)}), {occluded}",
                f"  boxes       {self.boxes}; longer side {_range(self.box_sides)} px",
                f"  head sizes  {self.head_sizes}",
            ]
        if self.widths:
            size = f"{_range(self.widths)} px wide, {_range(self.heights)} px high"
            lines.append(f"  images      {size}")
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
    images: dict[Path, _ImageCheck] = {}
    checks = []
    for name, source, split, annotation in _find_splits(root):
        try:
            annotations = replace(source.read(root, split), title=drawn_title(root, split))
        except DataError as error:
            checks.append(SplitCheck(f"{name} {split}", str(annotation), wrong=(str(error),)))
            continue
        _check_images(_image_paths(annotations), images, annotations.label, progress)
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


@dataclass(frozen=True)
class _ImageCheck:
    """A decoded image."""

    size: ImageSize | None = None  # upright, px
    notes: tuple[str, ...] = ()
    fault: str | None = None


def _image_paths(annotations: Annotations) -> list[Path]:
    return [annotations.root / image for image in annotations.images]


def _image_sizes(annotations: Annotations, images: dict[Path, _ImageCheck]) -> np.ndarray:
    """[M, 2]: width and height of the images in px; NaN where an image is broken."""
    sizes = [images[path].size for path in _image_paths(annotations)]
    return np.array([(np.nan, np.nan) if size is None else size.xy for size in sizes])


def _check_images(
    paths: Iterable[Path], images: dict[Path, _ImageCheck], name: str, progress: bool
) -> None:
    """Decode the images that are not yet in the dict `images`, and add them."""
    unchecked = [path for path in paths if path not in images]
    with ThreadPoolExecutor() as pool:
        bar = tqdm(
            pool.map(_check_image, unchecked),
            f"{name}: decoding images",
            len(unchecked),
            leave=False,
            delay=1,
            disable=not progress,
        )
        images.update(zip(unchecked, bar, strict=True))


def _check_image(path: Path) -> _ImageCheck:
    try:
        with Image.open(path) as image:
            image.load()
            orientation = image.getexif().get(ExifTags.Base.Orientation)
            properties = {
                "grey": image.mode in ("1", "L", "LA") or image.mode.startswith("I"),
                "with an alpha channel": image.has_transparency_data,
                "turned upright by an EXIF tag": orientation in range(2, 9),
            }
            size = upright_size(image)
    except FileNotFoundError:
        return _ImageCheck(fault=_MISSING)
    except IMAGE_ERRORS as error:
        return _ImageCheck(fault=str(error).replace(str(path), path.name))
    return _ImageCheck(size, tuple(note for note, holds in properties.items() if holds))


def _check_split(
    annotations: Annotations, annotation_path: Path, images: dict[Path, _ImageCheck]
) -> SplitCheck:
    paths = _image_paths(annotations)
    labelled = annotations.visibility > 0
    sizes = _image_sizes(annotations, images)
    sizes = sizes[~np.isnan(sizes).any(1)]
    image_notes = [note for path in paths for note in images[path].notes]
    notes = [
        f"{many(image_notes.count(note), 'image')} {note}" for note in dict.fromkeys(image_notes)
    ]
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


def _image_faults(annotations: Annotations, images: dict[Path, _ImageCheck]) -> list[str]:
    """Unusable images, and images whose size differs from the annotated one."""
    paths = _image_paths(annotations)
    faults = []
    broken = {path: fault for path in paths if (fault := images[path].fault) is not None}
    if broken:
        message = (
            f"{len(broken)} of {len(paths)} images cannot be used: {describe_faults(broken)} "
            f"(looked in {annotations.root})"
        )
        if list(broken.values()) == [_MISSING] * len(paths):
            message += "; give the folder that holds the images with their annotations: for MPII "
            message += "images/ and annot/"
        faults.append(message)
    if annotations.image_sizes is not None:
        sizes = _image_sizes(annotations, images)
        # an unknown size is NaN, which counts as no difference
        differs = (np.abs(sizes - annotations.image_sizes) > 0).any(1)
        if differs.any():
            first = int(np.flatnonzero(differs)[0])
            width, height = sizes[first]
            annotated = "{:.0f} x {:.0f}".format(*annotations.image_sizes[first])
            faults.append(
                f"{many(int(differs.sum()), 'image')} not of the annotated size: "
                f"{annotations.images[first]} is {width:.0f} x {height:.0f} px, "
                f"annotated {annotated}"
            )
    return faults


def _annotation_faults(annotations: Annotations, images: dict[Path, _ImageCheck]) -> list[str]:
    """Keypoints and boxes outside of images, unlabelled and repeated people."""
    faults = []
    size = _image_sizes(annotations, images)[annotations.image_index]  # [N, 2]
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
    return f"{spread[0]:.0f} to {spread[2]:.0f} (median {spread[1]:.0f})"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
