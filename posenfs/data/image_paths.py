"""Finding of image files whose annotated names have other folders, letters or Unicode forms."""

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple
from urllib.parse import unquote

from posenfs.data.images import IMAGE_EXTENSIONS
from posenfs.data.sample import Annotations

_BY_END = "image found by the end of its path, not by its whole path"
_MAX_DEPTH = 4  # of folders inside the folders that are searched

_Parts = tuple[str, ...]


def find_images(annotations: Annotations, folders: Sequence[Path]) -> Annotations:
    r"""Return the annotations with the paths of their image files.

    The root becomes the first folder that holds an image by its annotated name, or else the one
    where most images are found by the ends of their paths. Of `C:\data\pictures\a.jpg`,
    `/home/x/pictures/a.jpg` or `https://host/pictures/a.jpg` the longest end that is a file counts
    (pictures/a.jpg before a.jpg), and the name `a.jpg` also finds the only `day_1/a.jpg`. Upper
    and lower case, Unicode's composed and decomposed letters, and %20 and a space are equal unless
    a file has exactly the name. An image stays missing if several files fit, or if its file is
    that of another name.

    Args:
        annotations: The annotations; their images are names as in the annotation file.
        folders: The folders to search, with the folders inside them.

    Returns:
        The annotations; `doubtful` counts the images that are found by the end of their path.
    """
    names = annotations.images
    candidates = list(dict.fromkeys(folders))
    for folder in candidates:
        are_files = _are_files(folder, names)
        if all(are_files):
            return replace(annotations, root=folder)
        if any(are_files):
            candidates = [folder]
            break
    files = {folder: _find_all(folder, names) for folder in candidates}
    root = max(files, key=lambda folder: len(files[folder]))  # of equal ones the first
    renamed = {name: _relative(root, file) for name, file in files[root].items()}
    by_end = sum(path != name for name, path in renamed.items())
    return replace(
        annotations,
        root=root,
        images=tuple(renamed.get(name, _name_inside(name)) for name in names),
        doubtful={**annotations.doubtful} | ({_BY_END: by_end} if by_end else {}),
    )


def _find_all(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The files of the names that are found in a folder; no two names have the same file."""
    exact = {
        name: folder / name
        for name, is_file in zip(names, _are_files(folder, names), strict=True)
        if is_file
    }
    index = _index(folder)
    missing = [name for name in names if name not in exact] if index.by_key else []
    others = {name: file for name in missing if (file := index.find(name))}
    uses = Counter([*exact.values(), *others.values()])
    return exact | {name: file for name, file in others.items() if uses[file] == 1}


def _are_files(folder: Path, names: Sequence[str]) -> list[bool]:
    """Whether a folder holds each image; of names without a folder its listing tells."""
    try:
        files = set(os.listdir(folder))
    except OSError:
        return [False] * len(names)
    return [
        name in files or ("/" in name and not os.path.isabs(name) and os.path.isfile(folder / name))
        for name in names
    ]


def _name_inside(name: str) -> str:
    """The name of a missing image, for messages: never a path out of the root."""
    return "/".join(_parts(name)) if os.path.isabs(name) or "://" in name else name


def _relative(root: Path, file: Path) -> str:
    return Path(os.path.relpath(file, root)).as_posix()


def _parts(name: str) -> _Parts:
    """The folders and the file name of a path of any system, or of an address."""
    if "://" in name:  # the path behind the host, without a query
        name = name.partition("://")[2].partition("/")[2].partition("?")[0]
    is_windows = "\\" in name or name[1:2] == ":"
    path = PureWindowsPath(name) if is_windows else PurePosixPath(name)
    parts = path.parts[1:] if path.anchor else path.parts
    return tuple(part for part in parts if part != "..")


def _key(parts: Iterable[str]) -> _Parts:
    """Parts that are equal for equal letters: of any case, composed or decomposed."""
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)


class _File(NamedTuple):
    path: Path
    parts: _Parts  # the path inside the folder


class _Index(NamedTuple):
    """The image files of a folder and of the folders in it."""

    by_key: dict[_Parts, list[_File]]
    by_name: dict[str, list[_File]]  # by the key of the file name

    def find(self, name: str) -> Path | None:
        """Return the only file that a name can stand for."""
        for parts in dict.fromkeys((_parts(name), _parts(unquote(name)))):
            for start in range(len(parts)):
                files = self.by_key.get(_key(parts[start:]), [])
                if files:
                    return _only(files, parts[start:])
            key = _key(parts) or ("",)
            inside = [f for f in self.by_name.get(key[-1], []) if _key(f.parts)[-len(key) :] == key]
            if inside:
                return _only(inside, parts)
        return None


def _only(files: Sequence[_File], parts: _Parts) -> Path | None:
    """The only file; of several the one whose path ends with exactly these parts."""
    exact = [file for file in files if file.parts[-len(parts) :] == parts]
    paths = {file.path for file in exact or files}
    return paths.pop() if len(paths) == 1 else None


def _index(folder: Path) -> _Index:
    index = _Index(defaultdict(list), defaultdict(list))
    for path, names in _walk(folder, _MAX_DEPTH):
        for name in names:
            file = _File(path / name, (*path.relative_to(folder).parts, name))
            key = _key(file.parts)
            index.by_key[key].append(file)
            index.by_name[key[-1]].append(file)
    return index


def _walk(folder: Path, depth: int) -> Iterable[tuple[Path, list[str]]]:
    """The image names of a folder and of the folders in it; unreadable ones have none."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    names = [entry.name for entry in entries if entry.name.lower().endswith(IMAGE_EXTENSIONS)]
    yield folder, names
    for entry in entries:
        if depth and entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _walk(folder / entry.name, depth - 1)
