"""Data: people drawn, folders checked, kept crops."""

import json
import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


def synthetic(
    root: Path | None = None,
    pictures: tuple[int, int] = (2000, 400),
    seed: int = 0,
    difficulty: str = "default",
    quiet: bool = False,
) -> None:
    """Draw people, in MPII's and in COCO's file format; a set that is there already is left alone.

    Args:
        root: The folder to draw into; by default one below data/synthetic, where a search looks for it.
        pictures: How many to train and to validate on.
        seed: Of everything drawn.
        difficulty: plain, default or hard.
        quiet: No progress bar.
    """
    from posenfs.data.datasets.catalogue import DataSpec, data_root
    from posenfs.data.datasets.synthetic import write_synthetic

    folder = data_root(DataSpec("synthetic", root and str(root), pictures, difficulty, seed))
    print(write_synthetic(folder, *pictures, seed, difficulty, progress=not quiet))


def check(
    path: Positional[Path],
    strict: bool = False,
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Read every annotation and decode every picture of a data set: what is there, and what is wrong with it.

    Exit code 1 where an annotation cannot be read, or not one of its pictures.

    Args:
        path: A folder with MPII, COCO or LSP-extended files, or the TOML file of your own data.
        strict: Exit code 1 for anything wrong, a broken picture too.
        quiet: No progress bar.
        as_json: Print JSON.
    """
    from posenfs.data.check import check_data

    checks = check_data(path, progress=not quiet)
    if as_json:
        print(json.dumps([found.json() for found in checks], indent=2))
    else:
        print("\n".join(found.text() for found in checks))
    if any(found.wrong and (strict or not found.widths) for found in checks):
        sys.exit(1)


def cache(delete: tuple[str, ...] = ()) -> None:
    """List the crops that searches have kept in data/cache, or in the folder POSENFS_CACHE names.

    Args:
        delete: Folders of kept crops to delete, by name; a search that needs them makes them again.
    """
    from posenfs.data.cache import cache_home, delete_kept, kept_folders

    for name in delete:
        delete_kept(name)
    folders = kept_folders()
    for folder, size in folders:
        print(f"{folder.name:50} {size / 1e9:8.2f} GB")
    print(f"{sum(size for _, size in folders) / 1e9:.2f} GB in {len(folders)} folders of {cache_home()}")
