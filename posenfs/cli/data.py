"""Commands that draw, check and cache data sets."""

import json
import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


def synthetic(
    root: Path | None = None,
    images: tuple[int, int] = (2000, 400),
    seed: int = 0,
    difficulty: str = "default",
    quiet: bool = False,
) -> None:
    """Draw a data set of synthetic people, in MPII's and in COCO's file format.

    A data set that exists already is not drawn again.

    Args:
        root: The folder to write; by default one below data/synthetic, where searches find it.
        images: The numbers of training and validation images.
        seed: The random seed.
        difficulty: The difficulty: plain, default or hard.
        quiet: Show no progress bar.
    """
    from posenfs.data.datasets.catalogue import DataSpec, data_root
    from posenfs.data.synthetic.writer import write_synthetic

    root_path = None if root is None else str(root)
    folder = data_root(DataSpec("synthetic", root_path, images, difficulty, seed))
    print(write_synthetic(folder, *images, seed, difficulty, progress=not quiet))


def check(
    path: Positional[Path],
    strict: bool = False,
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Read every annotation and decode every image of a data set, and report what is wrong.

    The exit code is 1 if an annotation file or all of its images cannot be read.

    Args:
        path: A folder with MPII, COCO or LSP files, or the TOML file of your own data.
        strict: Exit with code 1 for any fault, for example a broken image.
        quiet: Show no progress bar.
        as_json: Print the report as JSON.
    """
    from posenfs.data.check import check_data

    checks = check_data(path, progress=not quiet)
    if as_json:
        print(json.dumps([split.json() for split in checks], indent=2))
    else:
        print("\n".join(split.text() for split in checks))
    if any(split.wrong and (strict or not split.widths) for split in checks):
        sys.exit(1)


def cache(delete: tuple[str, ...] = ()) -> None:
    """List the cached crops in data/cache, or in the folder that POSENFS_CACHE names.

    Args:
        delete: The names of folders to delete; a search that needs them creates them again.
    """
    from posenfs.data.cache import cache_home
    from posenfs.data.cache_files import cache_folders, delete_cache

    for name in delete:
        delete_cache(name)
    folders = cache_folders()
    for folder, size in folders:
        print(f"{folder.name:50} {size / 1e9:8.2f} GB")
    total = sum(size for _, size in folders) / 1e9
    print(f"{total:.2f} GB in {len(folders)} folders of {cache_home()}")
