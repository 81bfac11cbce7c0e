"""AP of annotations that the reader converts, beside pycocotools on files converted by hand."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO as CocoAnnotations
from pycocotools.cocoeval import COCOeval

from posenfs.data.datasets.coco import annotations_of_file
from posenfs.evaluation.coco import coco_metrics, coco_results
from posenfs.evaluation.prediction import Predictions
from tests.data.hands import HAND, NAMES, annotation, hand_file

SHIFT = 15.0  # px: the error of the predicted left thumb


def hands():
    """Three hands in three images of 120 x 96, in px."""
    rows = []
    for n in range(1, 4):
        points = [20 + n, 30, 2, 60 + 5 * n, 30, 1, 60, 70 + n, 2]
        rows.append(annotation(n, image_id=n, keypoints=points, bbox=[10, 20, 70, 60], area=4200))
    return rows


def predict(people):
    """The annotated keypoints, but for the left thumb of one hand."""
    keypoints = people.keypoints_image.copy()
    keypoints[0, 1] += SHIFT
    return Predictions(keypoints, np.ones(keypoints.shape[:2]))


def read(path, coordinates=None, names="hand"):
    return annotations_of_file(path, HAND, "hands", names, path.parent, coordinates)


def expected_ap(folder):
    """pycocotools on the plain file and on results written here."""
    path = hand_file(folder, hands(), "plain.json", info={})
    results = []
    for row in hands():
        points = np.array(row["keypoints"], float).reshape(-1, 3)
        points[:, 2] = 1
        if row["id"] == 1:
            points[1, :2] += SHIFT
        results.append(
            {"image_id": row["image_id"], "category_id": 1, "score": 1.0}
            | {"keypoints": points.ravel().tolist()}
        )
    (folder / "results.json").write_text(json.dumps(results))
    truth = CocoAnnotations(str(path))
    evaluation = COCOeval(truth, truth.loadRes(str(folder / "results.json")), "keypoints")
    evaluation.params.kpt_oks_sigmas = np.array(HAND.oks_sigmas)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return 100 * evaluation.stats[0]


def normalised(rows):
    for row in rows:
        points = np.array(row["keypoints"], float).reshape(3, 3) / (120, 96, 1)
        row |= {"keypoints": points.ravel().tolist(), "area": row["area"] / (120 * 96)}
        row["bbox"] = (np.array(row["bbox"]) / (120, 96, 120, 96)).tolist()
    return {"annotations": rows}, {"coordinates": "normalised"}


def reordered(rows):
    order = [2, 0, 1]
    for row in rows:
        row["keypoints"] = np.array(row["keypoints"]).reshape(3, 3)[order].ravel().tolist()
    names = [NAMES[k] for k in order]
    return {
        "annotations": rows,
        "categories": [{"id": 1, "name": "hand", "keypoints": names}],
    }, {}


def two_of_one_name(rows):
    rows[1]["category_id"] = 4
    categories = [{"id": n, "name": "hand", "keypoints": NAMES} for n in (1, 4)]
    return {"annotations": rows, "categories": categories}, {}


def two_names(rows):
    rows[0]["category_id"] = 4
    names = {1: "hand", 4: "glove"}
    categories = [{"id": n, "name": name, "keypoints": NAMES} for n, name in names.items()]
    return {"annotations": rows, "categories": categories}, {"names": ("hand", "glove")}


def texts(rows):
    for row in rows:
        row |= {key: list(map(str, row[key])) for key in ("keypoints", "bbox")}
        row |= {key: str(row[key]) for key in ("id", "image_id", "category_id", "iscrowd", "area")}
    return {"annotations": rows}, {}


def nulls(rows):
    crowd = annotation(9, image_id=2, iscrowd="1", keypoints=None, bbox=[0, 0, 9, 9])
    return {"annotations": [*rows, crowd, annotation(8, keypoints=None, bbox=None)]}, {}


def boxes_left_out(rows):
    """Neither the box nor a keypoint is in the image: not judged."""
    outside = annotation(8, keypoints=[-9, 3, 2, 0, 0, 0, 0, 0, 0], bbox=[-90, 0, 8, 8])
    return {"annotations": [*rows, outside]}, {}


@pytest.mark.parametrize(
    "change",
    [normalised, reordered, two_of_one_name, two_names, texts, nulls, boxes_left_out],
)
def test_ap_is_that_of_the_file_converted_by_hand(tmp_path, change):
    fields, options = change(hands())
    people = read(hand_file(tmp_path, **fields), **options)
    ap = expected_ap(tmp_path)
    assert 60 < ap < 95
    assert coco_metrics(predict(people), people)["ap"] == pytest.approx(ap, abs=1e-9)
    perfect = Predictions(people.keypoints_image, np.ones(people.visibility.shape))
    assert coco_metrics(perfect, people)["ap"] == pytest.approx(100)


def test_results_have_the_category_of_their_annotation(tmp_path):
    fields, options = two_names(hands())
    people = read(hand_file(tmp_path, **fields), **options)
    assert [row["category_id"] for row in coco_results(predict(people), people)] == [4, 1, 1]
