"""Catalogue of the data sets: their skeletons and readers by name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from posenfs.body.parts import PartScheme, part_scheme
from posenfs.body.skeleton import COCO, LSP, MPII, Skeleton
from posenfs.data.datasets.coco import find_coco, read_coco
from posenfs.data.datasets.coco_detections import with_detections
from posenfs.data.datasets.custom import find_custom, read_custom
from posenfs.data.datasets.definition import DataDefinition, read_definition
from posenfs.data.datasets.lsp import find_lsp, read_lsp
from posenfs.data.datasets.mpii import find_mpii, read_mpii
from posenfs.data.datasets.mpii_release import find_release, read_release
from posenfs.data.images import exclude_broken_images
from posenfs.data.sample import ROOT, Annotations
from posenfs.data.synthetic.writer import drawn_title, write_synthetic
from posenfs.messages import unknown_entry


@dataclass(frozen=True)
class DataSource:
    """A kind of data set."""

    skeleton: Skeleton | None  # None: the data's TOML file defines it
    read: Callable[[Path, str], Annotations]  # reads a folder and a split (train or valid)
    find: Callable[[Path, str], Path | None]  # returns the annotation file of a split, if it exists
    drawn: bool = False  # whether posenfs draws missing data


def _read_mpii_as_lsp(root: Path, split: str) -> Annotations:
    return read_mpii(root, split).with_skeleton(LSP, {"neck": "upper_neck"})


# To add a data set, add a file with its reader, and a line here. Drawn people are MPII and COCO
# files that posenfs writes.
DATASETS: dict[str, DataSource] = {
    "synthetic": DataSource(MPII, read_mpii, find_mpii, drawn=True),
    "synthetic_coco": DataSource(COCO, read_coco, find_coco, drawn=True),
    "synthetic_lsp": DataSource(LSP, _read_mpii_as_lsp, find_mpii, drawn=True),
    "mpii": DataSource(MPII, read_mpii, find_mpii),
    "coco": DataSource(COCO, read_coco, find_coco),
    "mpii_release": DataSource(MPII, read_release, find_release),
    "lsp": DataSource(LSP, read_lsp, find_lsp),
    "custom": DataSource(None, read_custom, find_custom),
}


@dataclass(frozen=True)
class DataSpec:
    """The data set to train and validate on. Missing drawn people are drawn at the first use."""

    # Name of the data set: synthetic (drawn people, MPII's 16 keypoints), synthetic_coco (drawn
    # people, COCO's 17), synthetic_lsp (drawn people, LSP's 14), mpii (HRNet's JSON form),
    # mpii_release (MPII's own file), coco, lsp (LSP-extended or LSP), or custom (a TOML file).
    name: str = "synthetic"
    # Folder of the data; for custom data, the TOML file. By default data/<name> of the project.
    root: str | None = None
    # Numbers of images to draw for training and for validation.
    images: tuple[int, int] = (2000, 400)
    # Difficulty of drawn people: plain, default or hard.
    difficulty: str = "default"
    # Seed of drawn people.
    seed: int = 0
    # JSON file of detected boxes of the validation split, for data in COCO's form. By default the
    # annotated boxes are used.
    detections: str | None = None
    # Keypoints and parts of custom data that a run keeps; None: those of the TOML file.
    definition: DataDefinition | None = None


def home() -> Path:
    """Return the project folder.

    It is the nearest folder, from the current one upwards, with notebooks/ and pyproject.toml, or
    else the current one.
    """
    current = Path.cwd()
    for folder in (current, *current.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    return current


def source_of(spec: DataSpec) -> DataSource:
    """Return the source of a data set.

    Raises:
        ValueError: The data set is unknown.
    """
    if spec.name not in DATASETS:
        raise ValueError(unknown_entry("data set", spec.name, DATASETS))
    return DATASETS[spec.name]


def skeleton_of(spec: DataSpec) -> Skeleton:
    """Return the skeleton of a data set.

    Raises:
        ValueError: The data set is unknown.
        DataError: The TOML file of custom data is invalid.
    """
    skeleton = source_of(spec).skeleton
    return skeleton or definition_of(spec).skeleton


def definition_of(spec: DataSpec) -> DataDefinition:
    """Return the keypoints and parts of custom data: those that a run keeps, or the TOML file's.

    Raises:
        DataError: None are kept, and the TOML file is missing or invalid.
    """
    return spec.definition or read_definition(data_root(spec))


def with_definition(spec: DataSpec) -> DataSpec:
    """Return the data set with its keypoints and parts, for custom data; others have none.

    Raises:
        ValueError: The data set is unknown.
        DataError: As `definition_of`.
    """
    if source_of(spec).skeleton is not None:
        return replace(spec, definition=None)
    return replace(spec, definition=definition_of(spec))


def definition_changes(spec: DataSpec) -> list[str]:
    """Return a sentence for each field of a TOML file that differs from what a run keeps.

    Raises:
        DataError: The TOML file is missing or invalid.
    """
    if spec.definition is None or source_of(spec).skeleton is not None:
        return []
    return list(spec.definition.changes(data_root(spec)))


def parts_of(spec: DataSpec, parts: int | Mapping[str, Iterable[str]]) -> PartScheme:
    """Return a part scheme for a data set.

    Args:
        spec: The data set.
        parts: P of Table I, or a mapping from part names to keypoint names. For custom data every
            P but 1 stands for the parts of its TOML file.

    Raises:
        ValueError: As `part_scheme` does.
    """
    if isinstance(parts, int) and parts != 1 and source_of(spec).skeleton is None:
        if (scheme := definition_of(spec).parts) is not None:
            return scheme
        parts = 1
    return part_scheme(skeleton_of(spec), parts)


def data_root(spec: DataSpec) -> Path:
    """Return the folder of a data set; for custom data its TOML file.

    Raises:
        ValueError: Custom data has no root.
    """
    if spec.root is not None:
        return Path(spec.root)
    if spec.name == "custom":
        raise ValueError(
            f"data `custom` needs {ROOT}: the TOML file that describes it (see data/README.md)"
        )
    if source_of(spec).drawn:
        train, valid = spec.images
        folder = f"{spec.difficulty}_{train}_{valid}_seed{spec.seed}"
        return home() / "data" / "synthetic" / folder
    return home() / "data" / spec.name


def open_data(
    spec: DataSpec, progress: bool = True, strict: bool = False
) -> tuple[Annotations, Annotations]:
    """Read both splits, without the people of broken images.

    Args:
        spec: The data set.
        progress: Whether to show progress bars.
        strict: Whether a broken image is an error.

    Returns:
        The annotations of the training split and of the validation split.

    Raises:
        ValueError: The data set is unknown.
        DataError: Its files are missing or invalid.
    """
    train, valid = read_split(spec, "train", progress), read_split(spec, "valid", progress)
    return (
        exclude_broken_images(train, strict, progress),
        exclude_broken_images(valid, strict, progress),
    )


def read_split(spec: DataSpec, split: str, progress: bool = True) -> Annotations:
    """Read the annotations of a split, but no images. Missing drawn people are drawn.

    Args:
        spec: The data set.
        split: train or valid; detected boxes (`spec.detections`) replace those of valid only.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: The data set is unknown.
        DataError: Its files are missing or invalid.
    """
    source, root = source_of(spec), data_root(spec)
    if source.drawn:
        write_synthetic(root, *spec.images, spec.seed, spec.difficulty, progress=progress)
    skeleton = None
    if source.skeleton is None and spec.definition is not None:
        spec.definition.check(root)
        skeleton = spec.definition.skeleton
    annotations = replace(source.read(root, split), title=drawn_title(root, split))
    if skeleton is not None:
        annotations = replace(annotations, skeleton=skeleton)
    if split == "valid" and spec.detections is not None:
        return with_detections(annotations, Path(spec.detections))
    return annotations


def is_present(spec: DataSpec, split: str) -> bool:
    """Return whether the annotations of a split are on disk; nothing is drawn.

    Args:
        spec: The data set.
        split: train or valid.
    """
    return source_of(spec).find(data_root(spec), split) is not None
