"""Data sets by name: their skeleton and their reader."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from posenfs.body.parts import PartScheme, part_scheme
from posenfs.body.skeleton import COCO, LSP, MPII, Skeleton
from posenfs.body.words import unknown_entry
from posenfs.data.datasets.coco import find_coco, read_coco, with_detections
from posenfs.data.datasets.lsp import find_lsp, read_lsp
from posenfs.data.datasets.mpii import find_mpii, read_mpii
from posenfs.data.datasets.mpii_release import find_release, read_release
from posenfs.data.datasets.own import find_own, read_description, read_own
from posenfs.data.datasets.synthetic import drawn_title, write_synthetic
from posenfs.data.pictures import without_broken_pictures
from posenfs.data.sample import ROOT, People


@dataclass(frozen=True)
class DataSource:
    """A kind of data: the skeleton it labels (None: its file says), a reader from a folder and a split (train, valid)
    to People, and where the annotation of that split lies, if it is there. A drawn one is drawn when it is not there.
    """

    skeleton: Skeleton | None
    read: Callable[[Path, str], People]
    find: Callable[[Path, str], Path | None]
    drawn: bool = False


def _read_as_lsp(root: Path, split: str) -> People:
    return read_mpii(root, split).with_skeleton(LSP, {"neck": "upper_neck"})


# To add a data set, add a file with its reader and a line. Drawn people are MPII and COCO files that posenfs writes.
DATASETS: dict[str, DataSource] = {
    "synthetic": DataSource(MPII, read_mpii, find_mpii, drawn=True),
    "synthetic_coco": DataSource(COCO, read_coco, find_coco, drawn=True),
    "synthetic_lsp": DataSource(LSP, _read_as_lsp, find_mpii, drawn=True),
    "mpii": DataSource(MPII, read_mpii, find_mpii),
    "coco": DataSource(COCO, read_coco, find_coco),
    "mpii_release": DataSource(MPII, read_release, find_release),
    "lsp": DataSource(LSP, read_lsp, find_lsp),
    "own": DataSource(None, read_own, find_own),
}


@dataclass(frozen=True)
class DataSpec:
    """Which people to train and to validate on. Drawn people are drawn when they are not there yet."""

    # synthetic (drawn, MPII's 16 keypoints), synthetic_coco, synthetic_lsp, mpii, mpii_release, coco, lsp, or own
    name: str = "synthetic"
    root: str | None = (
        None  # the data set's folder, of own data the TOML file; none: data/<name> of the project
    )
    pictures: tuple[int, int] = (2000, 400)  # drawn for training and for validation
    difficulty: str = "default"  # of drawn people: plain, default or hard
    seed: int = 0  # of drawn people
    detections: str | None = (
        None  # a file of detected boxes to validate on, for COCO's form; none: annotated boxes
    )


def home() -> Path:
    """The project's folder: the nearest one upwards with notebooks/ and pyproject.toml, else where one stands."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    return here


def source_of(spec: DataSpec) -> DataSource:
    """Raises ValueError for an unknown data set."""
    if spec.name not in DATASETS:
        raise ValueError(unknown_entry("data set", spec.name, DATASETS))
    return DATASETS[spec.name]


def skeleton_of(spec: DataSpec) -> Skeleton:
    """The keypoints of a data set. Raises ValueError for an unknown one, DataError for an unsound description."""
    return source_of(spec).skeleton or read_description(data_root(spec)).skeleton


def parts_of(spec: DataSpec, parts: int | Mapping[str, Iterable[str]]) -> PartScheme:
    """The part scheme P of Table I, or one's own as {part name: keypoint names}; data of one's own bring theirs, which
    every P but 1 stands for. Raises ValueError as part_scheme does."""
    if isinstance(parts, int) and parts != 1 and source_of(spec).skeleton is None:
        parts = read_description(data_root(spec)).parts or 1
    return part_scheme(skeleton_of(spec), parts)


def data_root(spec: DataSpec) -> Path:
    """The folder of a data set."""
    if spec.root is not None:
        return Path(spec.root)
    if spec.name == "own":
        raise ValueError(
            f"data `own` need {ROOT}: the TOML file that describes them (see data/README.md)"
        )
    if source_of(spec).drawn:
        train, valid = spec.pictures
        return home() / "data" / "synthetic" / f"{spec.difficulty}_{train}_{valid}_seed{spec.seed}"
    return home() / "data" / spec.name


def open_data(spec: DataSpec, progress: bool = True, strict: bool = False) -> tuple[People, People]:
    """The people to train on and to validate on, without those of broken pictures; if strict, one of these is an error.

    Raises ValueError for an unknown data set, DataError for its files.
    """
    people = [read_split(spec, split, progress) for split in ("train", "valid")]
    train, valid = (without_broken_pictures(part, strict, progress) for part in people)
    return train, valid


def read_split(spec: DataSpec, split: str, progress: bool = True) -> People:
    """Read the annotations of a split, without looking at the images; drawn people are drawn if they are not there.

    Args:
        spec: The data set.
        split: train or valid; detected boxes (`spec.detections`) are for valid alone.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: The data set is unknown.
        DataError: Its files are not there, or cannot be used.
    """
    source, root = source_of(spec), data_root(spec)
    if source.drawn:
        write_synthetic(root, *spec.pictures, spec.seed, spec.difficulty, progress=progress)
    people = replace(source.read(root, split), title=drawn_title(root, split))
    if split == "valid" and spec.detections is not None:
        return with_detections(people, Path(spec.detections))
    return people


def is_present(spec: DataSpec, split: str) -> bool:
    """Whether the annotations of a split are on disk. Nothing is drawn."""
    return source_of(spec).find(data_root(spec), split) is not None
