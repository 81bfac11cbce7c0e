"""A user's own images: those of files and folders, and which of them can be read."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from posenfs.data.images import IMAGE_EXTENSIONS, MAX_NAMED, inspect_image
from posenfs.data.sample import DataError
from posenfs.messages import note


def list_images(paths: Iterable[Path]) -> list[Path]:
    """List image files.

    Args:
        paths: Image files of any name, and folders. Of a folder all files with one of
            IMAGE_EXTENSIONS are taken, in the order of their names; hidden files and folders
            inside it are not read.

    Returns:
        Every file once.

    Raises:
        DataError: There are no paths, one does not exist, or a folder holds no image.
    """
    images: list[Path] = []
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise DataError(f"no image at {path}; check its name and its folder")
            images.append(path)
            continue
        files = [
            file
            for file in sorted(path.iterdir())
            if file.is_file() and not file.name.startswith(".")
        ]
        folder_images = [file for file in files if file.suffix.lower() in IMAGE_EXTENSIONS]
        if not folder_images:
            raise DataError(
                f"{path} is a folder without images: none of the {len(files)} files in it ends in "
                f"{', '.join(IMAGE_EXTENSIONS)} (folders inside it are not read); "
                "name a folder of images"
            )
        images += folder_images
    if not images:
        raise DataError("no images given; name at least one file or folder")
    return list(dict.fromkeys(images))


def readable_images(
    images: Sequence[Path], progress: bool = True
) -> tuple[list[Path], dict[Path, str]]:
    """Decode images to find the broken ones. Doubtful images are named in a note.

    Args:
        images: Image files.
        progress: Whether to show a progress bar.

    Returns:
        The readable images, and what is wrong with each of the others.

    Raises:
        DataError: None of the images can be read.
    """
    readable: list[Path] = []
    broken: dict[Path, str] = {}
    for image in tqdm(
        images, "reading images", unit="image", leave=False, delay=1, disable=not progress
    ):
        state = inspect_image(image, full=True)
        if state.fault is not None:
            broken[image] = f"{image}: {state.fault}"
            continue
        readable.append(image)
        for doubt in state.doubts:
            note(f"note: {image}: {doubt}")
    if not readable:
        what = f"none of the {len(broken)} images can" if len(broken) > 1 else "the image cannot"
        reasons = list(broken.values())
        further = f"; and {len(reasons) - MAX_NAMED} more" if len(reasons) > MAX_NAMED else ""
        raise DataError(
            f"{what} be read: {'; '.join(reasons[:MAX_NAMED])}{further}. Copy them again, or "
            "convert them to eight-bit PNG or JPEG"
        )
    return readable, broken
