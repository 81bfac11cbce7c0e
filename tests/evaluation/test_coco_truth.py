"""Completion of COCO annotations: values by hand, and random files against pycocotools on a clean copy."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from posenfs.body.skeleton import COCO
from posenfs.data.datasets.coco import read_coco
from posenfs.data.sample import DataError
from posenfs.evaluation.coco import AP_NAMES, average_precision
from posenfs.evaluation.coco_scoring import score_coco
from posenfs.evaluation.coco_truth import complete_truth
from posenfs.evaluation.metrics import ap_notes, evaluate
from posenfs.evaluation.prediction import Predictions
from tests.evaluation.test_coco import by_pycocotools

CATEGORY = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}


def person(number=1, image=1, **fields):
    """Return an annotation whose keypoints lie on a line from (10, 20) to (42, 84)."""
    points = [[10 + 2 * k, 20 + 4 * k, 2] for k in range(17)]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [value for point in points for value in point],
        "num_keypoints": 17,
        "bbox": [5, 10, 40, 80],
        "area": 1500.5,
    } | fields


def without(row, *names):
    return {name: value for name, value in row.items() if name not in names}


def content_of(*rows, images=(1,)):
    return {"images": [{"id": n} for n in images], "categories": [CATEGORY], "annotations": rows}


def completed(row):
    """Return the only annotation of a completed file, and what was completed."""
    truth = complete_truth(content_of(row), 1, 17, "gt.json")
    (annotation,) = truth.dataset["annotations"]
    assert sum(truth.completed.values()) == len(truth.notes())
    return annotation, truth.notes()


@pytest.mark.parametrize("area", [0, None, -3, float("nan"), float("inf"), "", [], "missing"])
def test_area_of_the_box_or_of_the_extent(area):
    row = person(area=area) if area != "missing" else without(person(), "area")
    annotation, notes = completed(row)
    assert annotation["area"] == 40 * 80
    assert notes == ["1 annotation without an area above 0: the area of the box is used"]
    for box in (None, [5, 10, 0, 80], [5, 10, 40], [5, 10, None, 80], "box"):
        annotation, notes = completed({**row, "bbox": box})
        assert annotation["area"] == 32 * 64 and "the keypoints' extent is used" in notes[0]
    one = [7, 9, 2] + [0, 0, 0] * 16  # a side is at least 1 px
    annotation, _ = completed({**row, "bbox": None, "keypoints": one, "num_keypoints": 1})
    assert annotation["area"] == 1 and annotation["bbox"] == [7, 9, 0, 0]


@pytest.mark.parametrize("area", [1500.5, "1500.5"])
def test_an_annotated_area_stays(area):
    annotation, notes = completed(person(area=area))
    assert annotation["area"] == 1500.5 and notes == []


@pytest.mark.parametrize("stated", [0, 16, None, "many", "missing"])
def test_num_keypoints_is_counted(stated):
    row = (
        person(num_keypoints=stated) if stated != "missing" else without(person(), "num_keypoints")
    )
    row["keypoints"][:6] = [1, 2, 0, 3, 4, 1]
    annotation, notes = completed(row)
    assert annotation["num_keypoints"] == 16 and annotation["keypoints"][:6] == [0, 0, 0, 3, 4, 1]
    assert len(notes) == (stated != 16)


@pytest.mark.parametrize(
    ("value", "flag", "count"),
    [(0, 0, 0), (1, 1, 0), (None, 0, 0), (False, 0, 0), (True, 1, 0), ("0", 0, 1), ("1", 1, 1)],
)
def test_crowd_flags(value, flag, count):
    annotation, notes = completed(person(iscrowd=value))
    assert annotation["iscrowd"] == flag and len(notes) == count


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iscrowd": "maybe"}, "annotation 1 has iscrowd 'maybe'; it must be 0 or 1"),
        ({"keypoints": [1, 2, 2] * 16}, "annotation 1 must have 51 numbers as keypoints.* has 48"),
        ({"keypoints": "none"}, "must have 51 numbers as keypoints.* has 'none'"),
        ({"keypoints": [None, 2, 2] * 17}, "labelled keypoint without a number"),
        ({"keypoints": [1, 2, None] * 17}, "a visibility that is none"),
        ({"keypoints": ["a", 2, 2] * 17}, "must have 51 numbers"),
    ],
)
def test_what_cannot_be_completed_raises_an_error(change, message):
    with pytest.raises(DataError, match=f"gt.json: .*{message}"):
        completed(person(**change))


@pytest.mark.parametrize("number", [7, "7", 7.0, "left", 0])
def test_ids_that_are_not_unique(number):
    with pytest.raises(DataError, match="gt.json: two annotations have the id .*must be unique"):
        complete_truth(content_of(person(number), person(number)), 1, 17, "gt.json")


def test_rows_that_do_not_count():
    rows = [person(1), person(2, image=9), without(person(3), "category_id")]
    truth = complete_truth(content_of(*rows), 1, 17, "gt.json")
    assert len(truth.dataset["annotations"]) == 1
    assert truth.notes() == [
        "1 annotation of an image that the file lacks: ignored",
        "1 annotation without category_id: ignored",
    ]
    with pytest.raises(DataError, match="annotation number 1 is 3, not an object"):
        complete_truth(content_of(person(), 3), 1, 17, "gt.json")
    with pytest.raises(DataError, match="an image needs a whole number as its id"):
        complete_truth(content_of(images=("a",)), 1, 17, "gt.json")


CROWD_SHARE = 0.1
NO_AREA = [0, None, -1.5, float("nan")]


def random_person(random, image, category):
    """Return an annotation as pycocotools requires it, but for its id."""
    points = np.concatenate([random.uniform(2, 298, (17, 2)), random.integers(0, 3, (17, 1))], 1)
    points[random.integers(17), 2] = 2
    points[points[:, 2] == 0] = 0
    labelled = points[points[:, 2] > 0, :2]
    low, high = labelled.min(0), labelled.max(0)
    return {
        "image_id": image,
        "category_id": category,
        "iscrowd": int(random.random() < CROWD_SHARE),
        "keypoints": points.ravel().tolist(),
        "num_keypoints": int((points[:, 2] > 0).sum()),
        "bbox": [*(low - 1).tolist(), *(high - low + 2).tolist()],  # inside the image
        "area": float(random.uniform(50, 40000)),
    }


@st.composite
def annotation_pairs(draw, random, image, category):
    """Return an annotation as pycocotools requires it, and as others write it."""
    clean = random_person(random, image, category)
    other = clean | {"segmentation": [], "score": 1, "attributes": {"occluded": True}}
    if draw(st.booleans()):
        clean["area"] = clean["bbox"][2] * clean["bbox"][3]
        other["area"] = draw(st.sampled_from(NO_AREA))
    if draw(st.booleans()):
        other["num_keypoints"] = draw(st.sampled_from([0, None, 99]))
    if not clean["iscrowd"]:
        other["iscrowd"] = draw(st.sampled_from([0, None, False]))
    missing = {name for name in other if other[name] is None and draw(st.booleans())}
    return clean, without(other, *missing)


@st.composite
def files(draw):
    """Return a file of 1 to 3 images as pycocotools requires it, and as others write it."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    first_image = draw(st.sampled_from([-2, 0, 1, 2**40]))
    images = random.permutation(np.arange(first_image, first_image + 3)).tolist()
    category = draw(st.sampled_from([0, 1, 3, -1]))
    pairs = [
        draw(annotation_pairs(random, image, category))
        for image in images
        for _ in range(draw(st.integers(1, 4)))
    ]
    unlabelled = {"image_id": images[0], "category_id": category, "area": 81, "bbox": [0, 0, 9, 9]}
    clean = unlabelled | {"keypoints": [0] * 51, "num_keypoints": 0, "iscrowd": 0}
    pairs.append((clean, unlabelled))
    pairs = [pairs[n] for n in random.permutation(len(pairs))]
    first = draw(st.sampled_from([-7, -1, 0, 1, 10**6, 2**53]))
    ids = random.permutation(np.arange(first, first + len(pairs) + 1)).tolist()
    person_row = {"id": category, "name": "person", "keypoints": list(COCO.keypoints)}
    foot_row = {"id": category + 5, "name": "foot", "keypoints": ["heel", "toe"]}
    foot = person(ids.pop(), images[0], category_id=foot_row["id"], keypoints=[1, 2, 2, 3, 4, 2])
    rows = [{"id": image, "width": 300, "height": 300, "file_name": "a.jpg"} for image in images]
    others = {
        "images": random.permutation(rows).tolist(),
        "categories": draw(st.permutations([person_row, foot_row, {"id": 77, "name": "car"}])),
        "annotations": [foot, *(o | {"id": n} for n, (_, o) in zip(ids, pairs, strict=True))],
    }
    others |= draw(st.sampled_from([{}, {"info": {}}, {"info": None, "licenses": []}]))
    annotations = [clean | {"id": n} for n, (clean, _) in enumerate(pairs, 1)]
    clean = {"images": rows, "categories": [person_row], "annotations": annotations}
    return clean | {"info": {}}, others


def results_of(clean, random, spread):
    """Return a result for each labelled person that is no crowd, with ties among the scores."""
    results = []
    for row in clean["annotations"]:
        if row["iscrowd"] or not row["num_keypoints"]:
            continue
        points = np.reshape(row["keypoints"], (17, 3)).astype(float)
        points[:, :2] += spread * row["area"] ** 0.5 * random.normal(size=(17, 2))
        points[:, 2] = random.random(17)
        ids = {name: row[name] for name in ("image_id", "category_id")}
        score = float(random.integers(1, 4) / 4)
        results.append({**ids, "keypoints": points.ravel().tolist(), "score": score})
    return [results[n] for n in random.permutation(len(results))]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files(), st.integers(0, 10**6))
def test_random_files_equal_pycocotools_on_a_clean_copy(tmp_path, pair, seed):
    clean, content = pair
    random = np.random.default_rng(seed)
    names = [tmp_path / name for name in ("clean.json", "gt.json", "dt.json")]
    for spread in (0.0, 0.02, 0.08):
        results = results_of(clean, random, spread)
        if not results:
            continue
        for path, rows in zip(names, (clean, content, results), strict=True):
            path.write_text(json.dumps(rows))
        scores, notes = score_coco(names[2], names[1])
        expected = by_pycocotools(names[0], results)
        assert set(scores) == {"person"} and "not judged: foot (0 results)" in notes[0]
        for name, share in scores["person"].items():
            if expected[name] == -1:
                assert np.isnan(share), name
            else:
                assert share == expected[name], name
                assert spread or share == pytest.approx(1), name


CHANGES = {
    "ids from 0": lambda n, row: row.update(id=n),
    "negative ids": lambda n, row: row.update(id=-n),
    "area 0": lambda n, row: row.update(area=0),
    "area missing": lambda n, row: row.pop("area"),
    "num_keypoints 0": lambda n, row: row.update(num_keypoints=0),
    "num_keypoints missing": lambda n, row: row.pop("num_keypoints"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_ap_of_a_run_on_files_of_others(change, drawn, tmp_path):
    """The AP of perfect predictions is 100, and the notes count each annotation."""
    content = json.loads((drawn / "annotations" / "person_keypoints_val.json").read_text())
    for n, row in enumerate(content["annotations"]):
        CHANGES[change](n, row)
    (tmp_path / "person_keypoints_val.json").write_text(json.dumps(content))
    people = read_coco(tmp_path, "valid")
    exact = Predictions(people.keypoints_image, np.ones(people.visibility.shape))
    metrics = evaluate(exact, people)[0]
    assert metrics["ap"] == 100
    count = 1 if change == "ids from 0" else len(content["annotations"])
    assert ap_notes(people, metrics)[0].startswith(f"{count} annotation")


def test_numbers_without_an_annotated_person_are_not_a_number(drawn, tmp_path):
    content = json.loads((drawn / "annotations" / "person_keypoints_val.json").read_text())
    for row in content["annotations"]:
        row["area"] = 50.0**2
    (tmp_path / "person_keypoints_val.json").write_text(json.dumps(content))
    people = read_coco(tmp_path, "valid")
    exact = Predictions(people.keypoints_image, np.ones(people.visibility.shape))
    metrics = evaluate(exact, people)[0]
    undefined = {name for name, value in metrics.items() if np.isnan(value)}
    assert {"ap/AP_L", "ap/AR_L"} == {name for name in undefined if name.startswith("ap")}
    assert ap_notes(people, metrics) == [
        "AP_L and AR_L are n/a: no annotated person has this size (above 96² px²)"
    ]
    truth = complete_truth(content_of(), 1, 17, "gt.json")
    assert all(np.isnan(value) for value in average_precision(truth, []).values())
    assert list(average_precision(truth, [])) == list(AP_NAMES)
