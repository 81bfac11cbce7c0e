"""Categories of files in COCO's form: those that label the keypoints of a skeleton."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from posenfs.body.skeleton import Skeleton
from posenfs.data.parsing import whole_number
from posenfs.data.sample import DataError
from posenfs.messages import suggestion


class Category(NamedTuple):
    """A category of a file that labels the keypoints of a skeleton."""

    id: int
    name: str
    keypoints: tuple[str, ...]  # in the file's order


def keypoint_category(path: Path, content: dict, name: str | None = None) -> dict:
    """Return the first category that labels keypoints.

    Args:
        path: The file, for messages.
        content: The content of the file.
        name: The name of the category; None takes one of any name.

    Raises:
        DataError: There is no such category.
    """
    labelling = _labelling(content)
    for category in labelling:
        if name is None or _name(category) == name:
            return category
    known = [_name(category) for category in labelling]
    wanted = f"`{name}` " if name else ""
    same_letters = [other for other in known if name and other.casefold() == name.casefold()]
    hint = f"; did you mean {same_letters[0]}?" if same_letters else suggestion(name or "", known)
    end = "" if known else "; give person_keypoints_*.json, not instances_*.json"
    raise DataError(
        f"{path} has no category {wanted}with keypoints{hint} The file has "
        f"{_described(content)}{end}"
    )


def keypoint_categories(content: dict) -> list[Category]:
    """Return the categories that label keypoints; those without a whole number as id are skipped.

    Args:
        content: The content of the file.
    """
    ids = {whole_number(category.get("id")): category for category in reversed(_labelling(content))}
    return [
        Category(category_id, _name(category), _keypoints(category))
        for category_id, category in ids.items()
        if category_id is not None
    ]


def select_categories(
    path: Path, content: dict, names: Iterable[str], skeleton: Skeleton
) -> list[Category]:
    """Return the categories of these names that label the keypoints of a skeleton.

    The file may order the keypoints in another way. Several categories may have one name.

    Args:
        path: The file, for messages.
        content: The content of the file.
        names: The names of the categories.
        skeleton: The skeleton.

    Raises:
        DataError: A name has no such category, or a category has no id of its own.
    """
    selected: list[Category] = []
    for name in dict.fromkeys(names):
        first = keypoint_category(path, content, name)
        matching = [
            category
            for category in _objects(content)
            if _name(category) == name and _labels(category, skeleton)
        ]
        if not matching:
            labels = _keypoints(first)
            raise DataError(
                f"{path}: category `{name}` labels {len(labels)} keypoints "
                f"({', '.join(labels):.200}), not {skeleton.name}'s {len(skeleton)} "
                f"({', '.join(skeleton.keypoints):.200}); write the file's names into `keypoints`, "
                "or correct the file"
            )
        for category in matching:
            category_id = whole_number(category.get("id"))
            if category_id is None:
                raise DataError(
                    f"{path}: the category `{name}` needs a whole number as its id: "
                    f"{category.get('id')!r:.80}"
                )
            selected.append(Category(category_id, name, _keypoints(category)))
    for chosen in selected:
        others = [
            _name(other)
            for other in _objects(content)
            if whole_number(other.get("id")) == chosen.id and _name(other) != chosen.name
        ]
        if others:
            raise DataError(
                f"{path}: the categories `{chosen.name}` and `{others[0]}` have the same id, "
                f"{chosen.id}; ids must be unique"
            )
    return selected


def category_notes(
    content: dict, selected: Sequence[Category], skeleton: Skeleton
) -> dict[str, int]:
    """Return what is unclear about the categories: reason -> number of annotations.

    Args:
        content: The content of the file, with whole numbers as ids.
        selected: The categories that are read.
        skeleton: The skeleton.
    """
    counts = Counter(row["category_id"] for row in content["annotations"])
    ids = {category.id for category in selected}
    names = list(dict.fromkeys(category.name for category in selected))
    notes: dict[str, int] = {}
    for name in names:
        same = [
            category.id for category in selected if category.name == name and counts[category.id]
        ]
        if len(set(same)) > 1:
            listed = " and ".join(map(str, dict.fromkeys(same)))
            notes[f"of categories {listed}, both named `{name}` and both read"] = sum(
                counts[category_id] for category_id in set(same)
            )
    for category in _objects(content):
        category_id, name = whole_number(category.get("id")), _name(category)
        if category_id in ids or category_id is None or not counts[category_id]:
            continue
        if name in names:
            what = "with other keypoints" if _has_keypoints(category) else "without keypoints"
            notes[f"not read: of another category `{name}` (id {category_id}) {what}"] = counts[
                category_id
            ]
        elif _labels(category, skeleton):
            listed = ", ".join(f'"{each}"' for each in (*names, name))
            notes[
                f"not read: of category `{name}`, which has the same keypoints (to read it, write "
                f"category = [{listed}])"
            ] = counts[category_id]
    return notes


def _objects(content: dict) -> Iterator[dict]:
    categories = content.get("categories")
    for category in categories if isinstance(categories, list) else []:
        if isinstance(category, dict):
            yield category


def _labelling(content: dict) -> list[dict]:
    return [category for category in _objects(content) if _has_keypoints(category)]


def _name(category: dict) -> str:
    return str(category.get("name"))


def _keypoints(category: dict) -> tuple[str, ...]:
    return tuple(map(str, category["keypoints"]))


def _has_keypoints(category: dict) -> bool:
    keypoints = category.get("keypoints")
    return isinstance(keypoints, list) and bool(keypoints)


def _labels(category: dict, skeleton: Skeleton) -> bool:
    return _has_keypoints(category) and sorted(_keypoints(category)) == sorted(skeleton.keypoints)


def _described(content: dict) -> str:
    """The categories of a file, for messages."""
    described = []
    for category in _objects(content):
        keypoints = category.get("keypoints")
        what = f"keypoints: {keypoints!r:.40}" if keypoints else "no keypoints"
        if _has_keypoints(category):
            what = f"{len(_keypoints(category))} keypoints"
        described.append(f"`{_name(category)}` ({what})")
    if described:
        more = f" and {len(described) - 5} more" if len(described) > 5 else ""
        return ", ".join(described[:5]) + more
    return f"no categories, but {content.get('categories')!r:.40}"
