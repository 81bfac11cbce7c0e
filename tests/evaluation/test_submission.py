"""Submission files: round trips, the lookup of MPII's toolkit, and invalid predictions."""

import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from scipy.io import loadmat

from posenfs.body.skeleton import COCO, MPII, MPII_FILE_KEYPOINTS
from posenfs.data.datasets.coco import read_coco
from posenfs.data.datasets.coco_detections import with_detections
from posenfs.data.datasets.mpii import FILE_ORDER
from posenfs.data.datasets.mpii_release import annotations_of_release, person_id
from posenfs.data.datasets.mpii_release_file import (
    file_keypoints,
    image_file_name,
    load_release,
    load_struct,
    struct_rows,
)
from posenfs.data.sample import DataError
from posenfs.evaluation.coco import AP_NAMES, coco_results
from posenfs.evaluation.metrics import evaluate
from posenfs.evaluation.oks import rescore_results
from posenfs.evaluation.prediction import Predictions
from posenfs.evaluation.submission import write_coco_submission, write_mpii_submission
from tests.data.test_mpii_release import EMPTY, rectangle, write_release
from tests.evaluation.test_coco import by_pycocotools

ZIP = "person_keypoints_test-dev2017_posenfs_results.zip"
BOUNDED = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PIXELS = st.floats(-500, 5000)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "image_id": st.integers(1, 600_000),
            "category_id": st.just(1),
            "keypoints": st.lists(PIXELS, min_size=51, max_size=51),
            "score": st.floats(1e-9, 17),
            "bbox": st.just([1, 2, 3, 4]),
        }
    ),
    min_size=1,
    max_size=4,
)


def row(**fields) -> dict:
    return {"image_id": 7, "category_id": 1, "keypoints": [1.0] * 51, "score": 0.5} | fields


def coco_rows(path) -> list[dict]:
    """Return the results that the server reads."""
    if path.suffix == ".json":
        return json.loads(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        assert file.namelist() == [f"{path.stem}.json"]
        return json.loads(file.read(f"{path.stem}.json"))


def mpii_predictions(path, release) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions [N, 16, 2] (0-based px, the paper's order) and person ids [N]."""
    source = load_release(release)
    pred = load_struct(path, "pred")
    predictions, ids = [], []
    for entry, number in zip(pred, np.flatnonzero(~source.training), strict=True):
        assert image_file_name("pred", entry) == image_file_name("release", source.images[number])
        for place, row in enumerate(struct_rows("pred", "annorect", entry["annorect"]), 1):
            points, labelled = file_keypoints("pred", row)
            if labelled.any():
                assert labelled.all()
                predictions.append(points[list(FILE_ORDER)])
                ids.append(person_id(int(number) + 1, place))
    return np.stack(predictions), np.array(ids)


@BOUNDED
@given(ROWS, st.sampled_from([ZIP, "results.json", "person_keypoints_val2017_größe-é_results.zip"]))
def test_coco_results_round_trip_to_a_hundredth_pixel(tmp_path, rows, name):
    write_coco_submission(tmp_path / name, rows)
    written = coco_rows(tmp_path / name)
    assert [result["image_id"] for result in written] == [result["image_id"] for result in rows]
    for result, expected in zip(written, rows, strict=True):
        points = np.reshape(result["keypoints"], (17, 3))
        expected_points = np.reshape(expected["keypoints"], (17, 3))
        np.testing.assert_array_equal(points[:, :2], expected_points[:, :2].round(2))
        assert (points[:, 2] == 1).all()
        assert result["score"] == expected["score"]
        assert set(result) == {"image_id", "category_id", "keypoints", "score"}


def test_small_scores_keep_their_order(tmp_path):
    scores = [1e-8, 2e-8, 0.123456, 0.123457, 16.99999, 17.0]
    write_coco_submission(tmp_path / "r.json", [row(score=score) for score in scores])
    assert [result["score"] for result in coco_rows(tmp_path / "r.json")] == scores


def test_zip_file_has_the_format_of_the_server_and_is_reproducible(tmp_path):
    write_coco_submission(tmp_path / ZIP, [row(keypoints=[12.0, 3.456, 0.9] * 17)])
    with zipfile.ZipFile(tmp_path / ZIP) as file:
        assert file.namelist() == [ZIP.replace(".zip", ".json")]
        text = file.read(file.namelist()[0]).decode()
    assert json.loads(text)[0]["keypoints"] == [12, 3.46, 1] * 17
    assert text.startswith(
        '[{"image_id":7,"category_id":1,"keypoints":[12,3.46,1,12'
    ) and text.endswith('"score":0.5}]')
    content = (tmp_path / ZIP).read_bytes()
    write_coco_submission(tmp_path / ZIP, [row(keypoints=[12.0, 3.456, 0.1] * 17)])
    assert (tmp_path / ZIP).read_bytes() == content and [
        path.name for path in tmp_path.iterdir()
    ] == [ZIP]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no results to write to .*r.json"),
        ([row(), 3], "result 1 is 3, not"),
        ([row(image_id="7")], "result 0: image_id is '7'"),
        ([row(image_id=True)], "image_id is True"),
        ([row(category_id=18)], "category_id is 18; the server judges people, 1"),
        ([row(category_id=True)], "category_id is True"),
        ([row(keypoints=[1.0] * 50)], "keypoints must be 51 numbers; got 50"),
        ([row(keypoints=[1.0] * 50 + [float("nan")])], "keypoints holds nan"),
        ([row(keypoints=[1.0] * 50 + [None])], "keypoints holds nan"),
        ([row(keypoints=[[1.0, 1.0, 1.0]] * 17)], "keypoints must be 51 numbers; got 17 x 3"),
        ([row(keypoints=None)], "keypoints must be 51 numbers; got None"),
        ([row(score=float("inf"))], "score holds inf"),
        ([row(score=10**400)], "score must be a number; got 1000"),
    ],
)
def test_invalid_coco_results_are_not_written(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        write_coco_submission(tmp_path / "r.json", rows)
    assert not list(tmp_path.iterdir())


def test_file_names_that_the_server_rejects(tmp_path):
    for name in (
        "results.zip",
        "person_keypoints_test2017_a_results.zip",
        "person_keypoints_val2017__results.zip",
    ):
        with pytest.raises(
            ValueError, match=r"the server takes person_keypoints_<set>_<algorithm>_results.zip"
        ):
            write_coco_submission(tmp_path / name, [row()])
    with pytest.raises(ValueError, match=r"a \.json or a \.zip"):
        write_coco_submission(tmp_path / "results.txt", [row()])


BARE = {key: value for key, value in rectangle().items() if key in ("scale", "objpos")}
IMAGES = [
    {"single": [1]},
    {"train": False, "people": [BARE, BARE, BARE], "single": [3, 1]},
    {"train": False, "people": []},
    {
        "train": False,
        "people": [BARE | {"objpos": EMPTY}, rectangle(), BARE],
        "single": [3],
        "name": "grün é.jpg",
    },
    {},
    {"train": False, "people": [BARE], "single": [1]},
]
IDS = [2001, 2003, 4003, 6001]


@pytest.fixture
def source(tmp_path):
    return write_release(tmp_path, IMAGES)


@pytest.fixture
def people(source):
    return annotations_of_release(load_release(source), "test")


@BOUNDED
@given(st.lists(PIXELS, min_size=128, max_size=128), st.permutations(range(4)))
def test_mpii_predictions_round_trip_in_the_order_of_the_release(
    source, people, tmp_path, values, order
):
    keypoints = np.reshape(values, (4, 16, 2))
    path = tmp_path / "pred_keypoints_mpii.mat"
    write_mpii_submission(path, source, people.select(list(order)), keypoints[list(order)])
    predictions, ids = mpii_predictions(path, source)
    assert ids.tolist() == people.person_ids.tolist() == IDS
    # The origin is shifted by a pixel and back.
    np.testing.assert_allclose(predictions, keypoints, rtol=0, atol=1e-9)
    assert not list(tmp_path.glob(".*"))


def test_mpiis_toolkit_finds_each_prediction(source, people, tmp_path):
    """Follow flatten_annolist.m and annolist2matrix.m.

    They count rectangles with a position over all test images, evaluate those in single_person, and
    find points by their id.
    """
    keypoints = np.random.default_rng(0).uniform(0, 900, (4, 16, 2))
    path = tmp_path / "p.mat"
    write_mpii_submission(path, source, people, keypoints)
    pred = loadmat(path)["pred"]
    test = [image for image in IMAGES if not image.get("train", True)]
    assert pred.shape == (1, len(test)) and set(pred.dtype.names) == {"image", "annorect", "vididx"}
    evaluated = []
    counted = 0
    for entry, image in zip(pred[0], test, strict=True):
        name = entry["image"]["name"][0, 0].item()
        assert name == image.get("name", name)
        assert entry["annorect"].size == len(image["people"])
        for ridx in range(entry["annorect"].size):
            rect = entry["annorect"][0, ridx]
            counted += rect["objpos"].size > 0
            if rect["objpos"].size and ridx + 1 in image.get("single", []):
                points = rect["annopoints"]["point"][0, 0]
                assert points.shape == (1, 16) and points["x"][0, 0].dtype == np.float64
                by_id = {int(p["id"].item()): [p["x"].item(), p["y"].item()] for p in points[0]}
                assert len(by_id) == 16
                evaluated.append([by_id[k] for k in range(16)])
            else:
                assert rect["annopoints"].size == 0
    assert counted == 6
    order = [MPII.index(name) for name in MPII_FILE_KEYPOINTS]
    np.testing.assert_allclose(evaluated, keypoints[:, order] + 1)


def test_other_people_and_invalid_predictions_are_not_written(source, people, tmp_path):
    path = tmp_path / "p.mat"
    keypoints = np.ones((4, 16, 2))
    broken = keypoints.copy()
    broken[2, 3, 1] = np.nan
    train = annotations_of_release(load_release(source), "train")
    for given_people, predictions, message in (
        (
            people,
            keypoints[:3],
            r"predictions of shape \[3, 16, 2\] for 4 people of mpii_release test",
        ),
        (people, np.ones((4, 17, 2)), r"shape \[4, 17, 2\]"),
        (people, broken, "prediction of person 4003 .* holds no finite number"),
        (people.select([]), keypoints[:0], "is empty"),
        (
            train,
            keypoints[:2],
            r"person 1001 of mpii_release train is none of the 4 test people of .*mat",
        ),
        (
            people.select([0, 1, 1, 2, 3]),
            np.ones((5, 16, 2)),
            "person 2003 .* has 2 predictions; give one",
        ),
        (
            people.select([0, 3]),
            keypoints[:2],
            "2 of the 4 test people .* have no prediction, first 2003",
        ),
    ):
        with pytest.raises(DataError, match=message):
            write_mpii_submission(path, source, given_people, predictions)
        assert not path.exists()


def test_failed_writing_keeps_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "r.json").write_text("old")

    def fail(*paths):
        raise OSError("no room")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no room"):
        write_coco_submission(tmp_path / "r.json", [row()])
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"] and (
        tmp_path / "r.json"
    ).read_text() == "old"


@pytest.mark.parametrize("seed", range(3))
def test_the_servers_numbers_are_those_of_a_run(seed, drawn, tmp_path):
    """pycocotools on the written file gives the metrics of detected boxes, each box twice."""
    truth = drawn / "annotations" / "person_keypoints_val.json"
    annotated = read_coco(drawn, "valid")
    rows = [
        {"image_id": int(annotated.coco.image_ids[image]), "category_id": 1, "bbox": box.tolist()}
        | {"score": score}
        for score in (0.9, 0.6)
        for image, box in zip(annotated.image_index, annotated.boxes, strict=True)
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    people = with_detections(annotated, tmp_path / "boxes.json")
    random = np.random.default_rng(seed)
    points = np.concatenate([annotated.keypoints_image] * 2)
    points = (points + random.normal(0, 3, points.shape)).round(2)
    predictions = Predictions(points, random.choice([0.1, 0.5, 0.8], people.visibility.shape))
    results = rescore_results(coco_results(predictions, people), COCO.oks_sigmas)
    write_coco_submission(tmp_path / "r.json", results)
    expected = by_pycocotools(truth, coco_rows(tmp_path / "r.json"))
    metrics = evaluate(predictions, people)[0]
    assert 100 * expected["AP"] == metrics["ap"] and 5 < metrics["ap"] < 99
    for name in AP_NAMES[1:]:
        value = 100 * expected[name] if expected[name] >= 0 else np.nan
        assert metrics[f"ap/{name}"] == pytest.approx(value, nan_ok=True), name
