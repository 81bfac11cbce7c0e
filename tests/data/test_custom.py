"""Custom data: its TOML file, annotations in COCO's form, a search and the check."""

import json
from dataclasses import replace

import pytest

from posenfs.cli.main import main
from posenfs.data.check import check_data
from posenfs.data.datasets.catalogue import DataSpec, open_data, parts_of
from posenfs.data.datasets.custom import read_custom, read_description
from posenfs.data.sample import DataError
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search


def test_people_skeleton_and_parts(own):
    people = read_custom(own, "valid")
    assert (
        people.skeleton.keypoints
        == ("nose", "left_wrist", "right_wrist", "left_ankle", "right_ankle")
        and people.name == "tips valid"
    )
    assert people.skeleton.flip_order == (0, 2, 1, 4, 3) and people.skeleton.limbs == (
        (0, 1),
        (0, 2),
    )
    assert people.skeleton.oks_sigmas[1] == 0.062 and people.keypoints_image.shape[1:] == (5, 2)
    spec = DataSpec("custom", str(own))
    assert [(part.name, part.keypoints) for part in parts_of(spec, 3)] == [
        ("hands", (0, 1, 2)),
        ("feet", (3, 4)),
    ]
    assert len(parts_of(spec, 1)) == 1 and len(open_data(spec, progress=False)[0]) > 0


def test_custom_data_in_a_search_and_the_check(own, tiny, tmp_path, capsys):
    experiment = replace(
        tiny, data=DataSpec("custom", str(own)), training=replace(tiny.training, epochs=1)
    )
    search = Search(experiment, tmp_path / "run", progress=False)
    search.finish()
    search.close()
    assert search.primary_metric == "ap" and [part.name for part in search.model.parts] == [
        "hands",
        "feet",
    ]
    assert load_model(tmp_path / "run").model.keypoints == 5
    main(["data", "check", str(own), "--quiet", "--json"])
    train, valid = json.loads(capsys.readouterr().out)
    assert train["people"] == len(search.train) and not valid["wrong"]


def test_only_the_toml_file_stands_for_the_data_set(own):
    with pytest.raises(DataError, match=f"give the TOML file: posenfs data check {own}"):
        check_data(own.parent, progress=False)
    with pytest.raises(
        DataError,
        match=r"train.json is no data set: give the folder, or the TOML file of your own data",
    ):
        check_data(own.parent / "train.json", progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace('name = "tips"', "name = tips"), "is not TOML"),
        (lambda t: t.replace('train = "train.json"', ""), "train: Field required"),
        (
            lambda t: t + "\n[more]\nx = 1",
            r"unknown key 'more'.* The keys are name, train, valid, keypoints, limbs",
        ),
        (
            lambda t: t.replace("mirrored =", "mirored ="),
            "unknown key 'mirored'; did you mean mirrored",
        ),
        (
            lambda t: t.replace('"nose", "left_wrist"],', '"nose", "tail"],'),
            "limbs name 'tail', which is no keypoint",
        ),
        (lambda t: t.replace("0.089, 0.089", "0.089"), "4 sigmas for 5 keypoints"),
        (lambda t: t.replace("0.026", "-1"), "sigmas.0: Input should be greater than 0"),
        (
            lambda t: t.replace('feet = ["left_ankle", "right_ankle"]', ""),
            "no part covers left_ankle, right_ankle",
        ),
        (
            lambda t: t.replace('"right_ankle"]\nlimbs', '"nose"]\nlimbs'),
            "keypoints are named twice",
        ),
        (
            lambda t: t.replace('["left_ankle", "right_ankle"]]', '["left_wrist", "right_ankle"]]'),
            "name a keypoint twice",
        ),
        (
            lambda t: t.replace('"train.json"', '"away.json"'),
            "train = 'away.json', but there is no",
        ),
        (lambda t: t.replace('category = "acrobat"', ""), "has no category `person`"),
    ],
)
def test_an_error_names_the_invalid_field_of_a_description(change, message, own):
    own.write_text(change(own.read_text()))
    with pytest.raises(DataError, match=message) as error:
        read_custom(own, "train")
    assert str(own.parent) in str(error.value)


def test_a_missing_description_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no description of data"):
        read_description(tmp_path / "own.toml")
    with pytest.raises(ValueError, match=r"custom` needs --data.root .*--root.*: the TOML file"):
        open_data(DataSpec("custom"), progress=False)


def test_unpaired_sides_give_a_warning(own, tiny, tmp_path, capsys):
    """The check and a search print the line that the description needs."""

    text = own.read_text()
    line = 'mirrored = [["left_wrist", "right_wrist"], ["left_ankle", "right_ankle"]]'
    assert line in text
    own.write_text(text.replace(line, 'mirrored = [["left_wrist", "right_wrist"]]'))
    assert "note        left_ankle, right_ankle of tips are left and right" in checked(own, capsys)
    Search(
        replace(tiny, data=DataSpec("custom", str(own))), tmp_path / "run", progress=False
    ).close()
    warning = capsys.readouterr().err
    assert warning.count("warning: ") == 1 and warning.strip().endswith(f"needs the line: {line}")
    own.write_text(text)
    assert "mirror" not in checked(own, capsys)


def checked(own, capsys) -> str:
    main(["data", "check", str(own), "--quiet"])
    return capsys.readouterr().out
