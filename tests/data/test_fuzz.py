"""Damaged files: readers either read them or raise a DataError; no other error and no hang."""

import copy
import io
import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from posenfs.data.datasets.coco import read_coco
from posenfs.data.datasets.coco_detections import with_detections
from posenfs.data.datasets.custom import read_custom
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.images import inspect_image
from posenfs.data.pixels import load_image
from posenfs.data.sample import DataError
from posenfs.evaluation.coco import coco_metrics
from posenfs.evaluation.coco_scoring import score_coco
from posenfs.evaluation.oks import rescore_results
from posenfs.evaluation.prediction import Predictions
from posenfs.evaluation.prediction_files import read_predictions

EXAMPLES = int(os.environ.get("POSENFS_FUZZ", "120"))  # per test; set thousands now and then
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=2000,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


@st.composite
def damaged(draw, content):
    """A JSON value in which one to three values are replaced, removed or duplicated."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        here, depth = content, draw(st.integers(1, 4))
        for level in range(depth):
            keys = (
                list(here)
                if isinstance(here, dict)
                else list(range(len(here)))
                if isinstance(here, list)
                else []
            )
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if level == depth - 1 or not isinstance(here[key], (dict, list)) or not here[key]:
                change = draw(st.sampled_from(["replace", "remove", "double"]))
                if change == "replace":
                    here[key] = draw(ANYTHING)
                elif change == "remove":
                    del here[key]
                elif isinstance(here, list):
                    here.append(copy.deepcopy(here[key]))
                break
            here = here[key]
    return content


@pytest.fixture
def files(drawn):
    load = {"mpii": "annot/valid.json", "coco": "annotations/person_keypoints_val.json"}
    content = {name: json.loads((drawn / path).read_text()) for name, path in load.items()}
    content["mpii"], content["coco"]["annotations"] = (
        content["mpii"][:2],
        content["coco"]["annotations"][:2],
    )
    return content


def reads(reader, *arguments) -> None:
    try:
        reader(*arguments)
    except DataError as error:
        assert str(error)


@BOUNDED
@given(st.data())
def test_damaged_annotations(files, tmp_path, data):
    kind = data.draw(st.sampled_from(["mpii", "coco"]))
    name = {"mpii": "valid.json", "coco": "person_keypoints_val.json"}[kind]
    (tmp_path / name).write_text(json.dumps(data.draw(damaged(files[kind]))))
    reads({"mpii": read_mpii, "coco": read_coco}[kind], tmp_path, "valid")


@BOUNDED
@given(st.data())
def test_damaged_annotations_that_are_read_have_an_ap(files, tmp_path, data):
    """What the reader accepts, pycocotools does too: no error after the first epoch."""
    path = tmp_path / "person_keypoints_val.json"
    path.write_text(json.dumps(data.draw(damaged(files["coco"]))))
    try:
        people = read_coco(tmp_path, "valid")
    except DataError:
        return
    perfect = Predictions(people.keypoints_image, np.ones(people.visibility.shape))
    assert isinstance(coco_metrics(perfect, people)["ap"], float)


@BOUNDED
@given(st.data())
def test_damaged_results_and_detections(files, drawn, tmp_path, data):
    people = read_coco(drawn, "valid")
    rows = [
        {
            "image_id": int(people.coco.image_ids[people.image_index[n]]),
            "category_id": 1,
            "score": 0.5,
            "bbox": people.boxes[n].tolist(),
            "keypoints": np.ones(51).tolist(),
        }
        for n in range(2)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(data.draw(damaged(rows))))
    reads(with_detections, people, tmp_path / "rows.json")
    reads(score_coco, tmp_path / "rows.json", people.coco.path, True, 0.9)
    reads(read_predictions, tmp_path / "rows.json", people.skeleton.keypoints)
    assert len(rescore_results(rows, people.skeleton.oks_sigmas)) == len(
        rescore_results(rows, people.skeleton.oks_sigmas, None)
    )


@BOUNDED
@given(st.data())
def test_damaged_annotations_of_scored_results(files, tmp_path, data):
    annotation = files["coco"]["annotations"][0]
    rows = [
        {key: annotation[key] for key in ("image_id", "category_id", "keypoints", "bbox")}
        | {"score": 0.5}
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "truth.json").write_text(json.dumps(data.draw(damaged(files["coco"]))))
    reads(score_coco, tmp_path / "rows.json", tmp_path / "truth.json", True, 0.9)


@BOUNDED
@given(st.data())
def test_damaged_descriptions_of_custom_data(own, data):
    text = own.read_text()
    try:
        place = data.draw(st.integers(0, len(text) - 1))
        own.write_text(
            text[:place]
            + data.draw(st.text(max_size=6))
            + text[place + data.draw(st.integers(0, 6)) :]
        )
        reads(read_custom, own, "valid")
    finally:
        own.write_text(text)


@BOUNDED
@given(st.data(), st.sampled_from(["JPEG", "PNG"]))
def test_damaged_image_files(tmp_path, data, form):

    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)).save(
        buffer, form
    )
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "image"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    inspect_image(path)
    inspect_image(path, full=True)
    reads(load_image, path)
