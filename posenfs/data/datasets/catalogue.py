"""Data sets by name: their skeleton and their reader."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from posenfs.body.skeleton import LSP, MPII, Skeleton
from posenfs.data.datasets.lsp import read_lsp
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.datasets.synthetic import write_synthetic
from posenfs.data.sample import People


@dataclass(frozen=True)
class DataSource:
    """A kind of data: the skeleton it labels, and a reader from a folder and a split (train, valid) to People."""

    skeleton: Skeleton
    read: Callable[[Path, str], People]


# To add a data set, add a file with its reader and a line. Drawn people are MPII files that posenfs writes itself.
DATASETS: dict[str, DataSource] = {
    "synthetic": DataSource(MPII, read_mpii),
    "mpii": DataSource(MPII, read_mpii),
    "lsp": DataSource(LSP, read_lsp),
}


@dataclass(frozen=True)
class DataSpec:
    """Which people to train and to validate on. Drawn people are drawn when they are not there yet."""

    name: str = "synthetic"  # drawn people; or mpii, lsp
    root: str | None = None  # the data set's folder; none: data/<name> of the project
    pictures: tuple[int, int] = (2000, 400)  # drawn for training and for validation
    difficulty: str = "default"  # of drawn people: plain, default or hard
    seed: int = 0  # of drawn people


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
        raise ValueError(f"unknown data set {spec.name!r}; known: {', '.join(DATASETS)}")
    return DATASETS[spec.name]


def open_data(spec: DataSpec, progress: bool = True) -> tuple[People, People]:
    """The people to train on and to validate on; raises ValueError for an unknown data set, DataError for its files."""
    read = source_of(spec).read
    if spec.name == "synthetic":
        train, valid = spec.pictures
        default = home() / "data" / "synthetic" / f"{spec.difficulty}_{train}_{valid}_seed{spec.seed}"
        root = write_synthetic(
            Path(spec.root) if spec.root else default, train, valid, spec.seed, spec.difficulty, progress=progress
        )
    else:
        root = Path(spec.root) if spec.root else home() / "data" / spec.name
    return read(root, "train"), read(root, "valid")
