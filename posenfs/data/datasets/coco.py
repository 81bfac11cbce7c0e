"""Reader of COCO's person keypoints and of files in COCO's form.

COCO's folder holds annotations/person_keypoints_{train,val}2017.json, train2017/ and val2017/.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import COCO, Skeleton
from posenfs.data.datasets.coco_categories import Category, category_notes, select_categories
from posenfs.data.datasets.coco_file import coco_lists, images_of_ids, rows_by_id
from posenfs.data.datasets.coco_people import image_size, read_people
from posenfs.data.image_paths import find_images
from posenfs.data.parsing import without_collection
from posenfs.data.sample import ROOT, Annotations, CocoFile, DataError

# Names of the splits in COCO, and in small copies of it.
_SPLITS = {"train": ("train2017", "train"), "valid": ("val2017", "val")}


def find_coco(root: Path, split: str) -> Path | None:
    """Return the annotation file of a split, or None where it is missing.

    Args:
        root: The data folder; the file is in its annotations/ or in the folder itself.
        split: train or valid.
    """
    for folder in ("annotations", "."):
        for name in _SPLITS[split]:
            path = root / folder / f"person_keypoints_{name}.json"
            if path.is_file():
                return path
    return None


def read_coco(root: Path, split: str) -> Annotations:
    """Read the people of COCO's protocol: no crowds, at least one labelled keypoint.

    Keypoints of visibility 1 (labelled, not visible) and 2 are labelled. Boxes are the annotated
    ones; head sizes are unknown.

    Args:
        root: The data folder.
        split: train or valid.

    Raises:
        DataError: The annotation file is missing or invalid.
    """
    path = find_coco(root, split)
    if path is None:
        expected = f"{root / 'annotations'}/person_keypoints_{_SPLITS[split][0]}.json"
        raise DataError(
            f"no COCO annotation at {expected}; {ROOT} must hold annotations/ and the images (see "
            "data/README.md)"
        )
    annotations = annotations_of_file(path, COCO, f"coco {split}", "person", root)
    return find_images(annotations, _image_folders(root, split))


@without_collection()
def annotations_of_file(
    path: Path,
    skeleton: Skeleton,
    name: str,
    category: str | Sequence[str],
    image_folder: Path,
    coordinates: str | None = None,
) -> Annotations:
    """Read the people of a file in COCO's form.

    A box that is missing, of no size or outside the image is made from the labelled keypoints.

    Args:
        path: The annotation file.
        skeleton: The skeleton, whose keypoints the categories must label, in any order.
        name: The name of the annotations.
        category: The name of the category, or the names of several.
        image_folder: The folder of the images; `find_images` finds those of other names.
        coordinates: "pixels", "normalised" (shares of the image's width and height), or None: px,
            and an error if they look normalised.

    Raises:
        DataError: The file is invalid, or holds no person with a labelled keypoint and a box.
    """
    names = (category,) if isinstance(category, str) else tuple(category)
    content = coco_lists(path)
    categories = select_categories(path, content, names, skeleton)
    files = rows_by_id(path, "image", content["images"])
    rows_by_id(path, "annotation", content["annotations"])
    people = read_people(path, content, files, categories, skeleton.keypoints, coordinates)
    index = np.flatnonzero(people.is_usable)
    if not len(index):
        raise DataError(_no_people(path, content, categories, people.excluded))
    rows = [people.rows[n] for n in index]
    _check_image_ids(path, rows, files)
    image_ids, images, image_index = images_of_ids(path, files, [row["image_id"] for row in rows])
    keypoints = people.keypoints[index]
    is_labelled = keypoints[..., 2:] > 0
    box_source = "annotated"
    if people.boxes_made:
        is_rule = people.boxes_made == len(index)
        box_source = "labelled keypoints" if is_rule else "annotated, or else labelled keypoints"
    labelled = [people.rows[n] for n in np.flatnonzero(people.is_labelled)]
    notes = category_notes(content, categories, skeleton)
    repeated = len(images) - len(set(images))
    if repeated:
        notes["image listed twice, under two ids"] = repeated
    return Annotations(
        name=name,
        skeleton=skeleton,
        root=image_folder,
        images=images,
        image_index=image_index,
        keypoints_image=np.where(is_labelled, keypoints[..., :2], 0.0),
        visibility=keypoints[..., 2].astype(np.uint8),
        boxes=people.boxes[index],
        head_sizes=np.full(len(rows), np.nan),
        person_ids=np.array([row["id"] for row in rows]),
        box_source=box_source,
        head_source="none",
        image_sizes=np.array([image_size(path, files[image]) for image in image_ids]),
        excluded=people.excluded,
        doubtful=people.doubtful | notes,
        coco=CocoFile(
            path,
            np.array(image_ids),
            categories[0].id,
            np.array([row["id"] for row in labelled]),
            categories=np.array([row["category_id"] for row in labelled]),
            category_names=names,
            coordinates=coordinates,
        ),
    )


@without_collection()
def judged_content(source: CocoFile, skeleton: Skeleton) -> dict:
    """Read the content of a file in COCO's form against which AP is computed.

    It holds the annotations of the categories read, all of them under `source.category`, with
    keypoints in px and in the order of the skeleton.

    Args:
        source: The file.
        skeleton: The skeleton of the results.

    Raises:
        DataError: The file is missing or invalid.
    """
    content = coco_lists(source.path)
    categories = select_categories(source.path, content, source.category_names, skeleton)
    files = rows_by_id(source.path, "image", content["images"])
    people = read_people(
        source.path, content, files, categories, skeleton.keypoints, source.coordinates
    )
    return {
        **content,
        "annotations": [row | {"category_id": source.category} for row in people.rows],
        "categories": [
            {"id": source.category, "name": source.category_names[0]}
            | {"keypoints": list(skeleton.keypoints)}
        ],
    }


def _no_people(
    path: Path, content: dict, categories: Sequence[Category], excluded: Mapping[str, int]
) -> str:
    """The message about a file without a usable person: what it has instead."""
    ids = {category.id for category in categories}
    counts = Counter(row["category_id"] for row in content["annotations"])
    others = {category_id: count for category_id, count in counts.items() if category_id not in ids}
    left_out = [f"{count} {reason}" for reason, count in excluded.items()]
    left_out += [f"{count} of category {category_id}" for category_id, count in others.items()]
    return (
        f"{path}: no person with a labelled keypoint and a box among "
        f"{sum(counts[category_id] for category_id in ids)} annotations of category "
        f"{', '.join(map(str, sorted(ids)))}"
        + (f"; left out: {', '.join(left_out[:5])}" if left_out else "")
    )


def _check_image_ids(path: Path, rows: Sequence[dict], files: Mapping[int, dict]) -> None:
    missing = [row for row in rows if row["image_id"] not in files]
    if missing:
        more = f", nor the images of {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            f"{path}: annotation {missing[0]['id']} names image {missing[0]['image_id']}, which "
            f"the file lacks{more}; add the images to `images`, or drop the annotations"
        )


def _image_folders(root: Path, split: str) -> list[Path]:
    """The folders that may hold COCO's images; COCO's own is the first."""
    return [
        *(root / parent / name for name in _SPLITS[split] for parent in (".", "images")),
        root / "images",
        root,
    ]
