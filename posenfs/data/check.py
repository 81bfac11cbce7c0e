"""What a folder of data holds, and what is wrong with it: every annotation read, every picture decoded."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from tqdm import tqdm

from posenfs.body.words import many
from posenfs.data.datasets.catalogue import DATASETS
from posenfs.data.datasets.own import mirror_warning
from posenfs.data.datasets.synthetic import drawn_title
from posenfs.data.pictures import named, upright_size
from posenfs.data.sample import PICTURE_ERRORS, DataError, People

_EXAMPLES = 3  # of a kind of fault, in the text
_MISSING = "missing"


@dataclass(frozen=True)
class SplitCheck:
    """One split of a data set. Pairs are (labelled, occluded); triples are (least, median, most), in pixels."""

    name: str
    annotation: str
    people: int = 0
    left_out: dict[str, int] = field(
        default_factory=dict
    )  # people of the file that no reader gives, by the reason
    keypoints: int = 0  # people times the skeleton's
    labelled: int = 0
    occluded: int = 0  # of the labelled ones
    pictures: int = 0
    widths: tuple[float, float, float] | None = None
    heights: tuple[float, float, float] | None = None
    box_sides: tuple[float, float, float] | None = None  # the longer ones
    boxes: str = ""
    head_sizes: str = ""
    notes: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    title: str = ""  # in the text; none: the name

    def text(self) -> str:
        """The lines that a person reads."""
        lines = [f"{self.title or self.name}: {self.annotation}"]
        if self.people:
            absent = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
            hidden = f"{self.occluded} of these occluded ({_percent(self.occluded, self.labelled)})"
            share = _percent(self.labelled, self.keypoints)
            lines += [
                f"  people      {self.people} in {self.pictures} pictures"
                + (f"; left out: {absent}" if absent else ""),
                f"  keypoints   {self.labelled} of {self.keypoints} labelled ({share}), "
                + (hidden if self.occluded else "none marked as occluded"),
                f"  boxes       {self.boxes}; longer side {_range(self.box_sides)} px",
                f"  head sizes  {self.head_sizes}",
            ]
        if self.widths:
            lines.append(
                f"  pictures    {_range(self.widths)} px wide, {_range(self.heights)} px high"
            )
        lines += [f"  note        {note}" for note in self.notes] + [
            f"  wrong       {fault}" for fault in self.wrong
        ]
        return "\n".join(lines)

    def json(self) -> dict:
        return asdict(self)


def check_data(root: Path, progress: bool = True) -> list[SplitCheck]:
    """Every split of every kind of data set in a folder; raises DataError where there is none.

    A split whose annotation cannot be read is there with the reason in `wrong`.
    """
    if not root.exists():
        raise DataError(
            f"no folder {root}; give the one that holds a data set (see data/README.md)"
        )
    if root.is_file() and root.suffix != ".toml":
        raise DataError(
            f"{root} is no data set: give the folder, or the TOML file of your own data"
        )
    kinds = {name: source for name, source in DATASETS.items() if not source.drawn}
    found = [
        (name, source, split, annotation)
        for name, source in kinds.items()
        for split in ("train", "valid")
        if (annotation := source.find(root, split)) is not None
    ]
    if (own := sorted(root.glob("*.toml"))) and all(
        annotation.parent == root for *_, annotation in found
    ):
        raise DataError(
            f"{root} holds data of your own: give the TOML file: posenfs data check {own[0]}"
        )
    if not found:
        raise DataError(
            f"{root} holds no data set: neither annot/train.json or mpii_human_pose_v1_u12_1.mat (MPII), "
            "annotations/person_keypoints_*.json (COCO), nor joints.mat (LSP); see data/README.md for the folders"
        )
    looks: dict[Path, _Look] = {}
    checks = []
    for name, source, split, annotation in found:
        try:
            people = replace(source.read(root, split), title=drawn_title(root, split))
        except DataError as error:
            checks.append(SplitCheck(f"{name} {split}", str(annotation), wrong=(str(error),)))
            continue
        _look_at((people.root / image for image in people.images), looks, people.label, progress)
        checks.append(_check(people, annotation, looks))
    return checks


@dataclass(frozen=True)
class _Look:
    """A decoded picture: upright width and height in pixels, what is unusual, what is wrong."""

    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    fault: str | None = None


def _look_at(paths: Iterable[Path], looks: dict[Path, _Look], name: str, progress: bool) -> None:
    fresh = [path for path in paths if path not in looks]
    with ThreadPoolExecutor() as pool:
        bar = tqdm(
            pool.map(_look, fresh),
            f"{name}: decoding pictures",
            len(fresh),
            leave=False,
            delay=1,
            disable=not progress,
        )
        looks.update(zip(fresh, bar, strict=True))


def _look(path: Path) -> _Look:
    try:
        with Image.open(path) as image:
            image.load()
            unusual = {
                "grey": image.mode in ("1", "L", "LA") or image.mode.startswith("I"),
                "with an alpha channel": image.has_transparency_data,
                "turned upright by an EXIF tag": image.getexif().get(ExifTags.Base.Orientation)
                in range(2, 9),
            }
            size = upright_size(image)
    except FileNotFoundError:
        return _Look(fault=_MISSING)
    except PICTURE_ERRORS as error:
        return _Look(fault=str(error).replace(str(path), path.name))
    return _Look(size, tuple(note for note, holds in unusual.items() if holds))


def _check(people: People, annotation: Path, looks: dict[Path, _Look]) -> SplitCheck:
    paths = [people.root / image for image in people.images]
    labelled = people.visibility > 0
    sizes = np.array([looks[path].size for path in paths if looks[path].size]).reshape(-1, 2)
    notes = [note for path in paths for note in looks[path].notes]
    heads = int((people.head_sizes > 0).sum())
    return SplitCheck(
        name=people.name,
        annotation=str(annotation),
        people=len(people),
        left_out=dict(people.left_out),
        keypoints=labelled.size,
        labelled=int(labelled.sum()),
        occluded=int((people.visibility == 1).sum()),
        pictures=len(paths),
        widths=_spread(sizes[:, 0]),
        heights=_spread(sizes[:, 1]),
        box_sides=_spread(people.boxes[:, 2:].max(1)),
        boxes=people.box_source,
        head_sizes=f"{people.head_source}, of {heads} people"
        if heads
        else "none: no PCKh, but PCK by torso or box",
        notes=(
            *(f"{many(notes.count(note), 'picture')} {note}" for note in dict.fromkeys(notes)),
            *([warning] if (warning := mirror_warning(people.skeleton)) else []),
        ),
        wrong=tuple(_wrong(people, paths, looks)),
        title=f"{people.title}, {people.skeleton.name}" if people.title else "",
    )


def _wrong(people: People, paths: list[Path], looks: dict[Path, _Look]) -> list[str]:
    faults = {path: look.fault for path in paths if (look := looks[path]).fault is not None}
    count = f"{len(faults)} of {len(paths)} pictures"
    found = [f"{count} cannot be used: {named(faults)} (looked in {people.root})"] if faults else []
    if paths and list(faults.values()) == [_MISSING] * len(paths):
        found[-1] += (
            "; give the folder that holds the pictures with their annotations: for MPII images/ and annot/"
        )
    size = np.array([looks[path].size or (np.inf, np.inf) for path in paths])[
        people.image_index
    ]  # [N, 2]
    if people.image_sizes is not None:
        seen = np.array([looks[path].size or (np.nan, np.nan) for path in paths])
        other = (np.abs(seen - people.image_sizes) > 0).any(1)  # NaN, not known, is no difference
        if other.any():
            first = int(np.flatnonzero(other)[0])
            sizes = [
                f"{width:.0f} x {height:.0f}"
                for width, height in (seen[first], people.image_sizes[first])
            ]
            found.append(
                f"{many(int(other.sum()), 'picture')} not of the annotated size: {people.images[first]} is "
                f"{sizes[0]} px, annotated {sizes[1]}"
            )
    labelled, points = people.visibility > 0, people.keypoints_image
    outside = labelled & ((points < -0.5) | (points > size[:, None] - 0.5)).any(-1)
    if outside.any():
        examples = [
            f"{people.skeleton.keypoints[k]} of {people.images[people.image_index[n]]} at "
            f"({points[n, k, 0]:.0f}, {points[n, k, 1]:.0f})"
            for n, k in np.argwhere(outside)[:_EXAMPLES]
        ]
        count = many(int(outside.sum()), "labelled keypoint")
        found.append(f"{count} outside the picture: {', '.join(examples)}")
    corner, end = people.boxes[:, :2], people.boxes[:, :2] + people.boxes[:, 2:]
    if away := int(((end < 0) | (corner > size)).any(1).sum()):
        found.append(f"{many(away, 'box', 'boxes')} wholly outside the picture")
    if nobody := int((~labelled.any(1)).sum()):
        found.append(f"{many(nobody, 'person', 'people')} without a labelled keypoint")
    rows = np.concatenate([people.image_index[:, None], points.reshape(len(people), -1)], 1)
    if twice := len(people) - len(np.unique(rows[labelled.any(1)], axis=0)) - nobody:
        found.append(
            f"{many(twice, 'person', 'people')} listed twice: same picture, same keypoints"
        )
    return found


def _spread(values: np.ndarray) -> tuple[float, float, float] | None:
    return (
        (float(values.min()), float(np.median(values)), float(values.max()))
        if len(values)
        else None
    )


def _range(spread: tuple[float, float, float]) -> str:
    return f"{spread[0]:.0f} to {spread[2]:.0f} (median {spread[1]:.0f})"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
