"""Custom data: its TOML file, annotations in COCO's form, a search and the check."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from posenfs.cli.main import main
from posenfs.data.check import check_data
from posenfs.data.datasets.catalogue import DataSpec, open_data, parts_of
from posenfs.data.datasets.custom import read_custom, read_description
from posenfs.data.sample import DataError
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search
from tests.data.hands import NAMES, TOML, annotation, hand_file


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


def hands(folder, toml=TOML, images="pictures"):
    """A description of hands, with annotations and images of both splits."""
    for split in ("train", "valid"):
        path = hand_file(folder, [annotation(n, image_id=n) for n in (1, 2, 3)], f"{split}.json")
        content = json.loads(path.read_text())
        for n, image in enumerate(content["images"], 1):
            image["file_name"] = f"{split}{n}.png"
            (folder / images).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (120, 96)).save(folder / images / image["file_name"])
        path.write_text(json.dumps(content))
    (folder / "data.toml").write_text(toml)
    return folder / "data.toml"


def test_a_byte_order_mark_is_read(tmp_path):
    path = hands(tmp_path)
    for file in (path, tmp_path / "train.json"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(read_custom(path, "train")) == 3


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("name", ["data.toml", "train.json"])
def test_other_encodings_are_named(tmp_path, name, encoding):
    path = hands(tmp_path)
    text = "\ufeff" + (tmp_path / name).read_text()
    (tmp_path / name).write_bytes(text.encode(encoding).replace(b"\xff\xfe" * 2, b"\xff\xfe"))
    with pytest.raises(DataError, match=f"{name} is text in UTF-(16|32); save it as UTF-8"):
        read_custom(path, "train")
    (tmp_path / "data.toml").write_bytes(TOML.replace("hands", "hände").encode("latin-1"))
    with pytest.raises(
        DataError, match=r"is not TOML in UTF-8 \('utf-8' codec.*; save it as UTF-8"
    ):
        read_custom(path, "train")


@pytest.mark.parametrize("images", ["images", "."])
def test_the_folder_of_images_is_optional(tmp_path, images):
    path = hands(tmp_path, TOML.replace('images = "pictures"\n', ""), images)
    people = read_custom(path, "train")
    assert people.root == tmp_path / images and people.image_path(0).is_file()


@pytest.mark.parametrize("line", ['images = "."\n', ""])
def test_roboflows_layout(tmp_path, line):
    """Images lie beside the annotations of their split; category 0 is the group of the others."""
    toml = TOML.replace('images = "pictures"\n', line)
    for split in ("train", "valid"):
        toml = toml.replace(f'"{split}.json"', f'"{split}/_annotations.coco.json"')
        images = [{"id": 0, "file_name": "a_png.rf.0a1b.png", "width": 120, "height": 96}]
        group = {"id": 0, "name": "hands", "supercategory": "none"}
        hand = {"id": 1, "name": "hand", "supercategory": "hands", "keypoints": NAMES}
        rows = [annotation(0, image_id=0, bbox=[10, 20, 60.0, 60])]
        name = f"{split}/_annotations.coco.json"
        hand_file(tmp_path, rows, name, images=images, categories=[group, hand])
        size = (120, 96) if split == "train" else (60, 48)
        Image.new("RGB", size).save(tmp_path / split / "a_png.rf.0a1b.png")
    (tmp_path / "data.toml").write_text(toml)
    train, valid = (read_custom(tmp_path / "data.toml", split) for split in ("train", "valid"))
    assert train.image_path(0) == tmp_path / "train" / "a_png.rf.0a1b.png"
    assert valid.image_path(0) == tmp_path / "valid" / "a_png.rf.0a1b.png"
    assert not train.doubtful and train.person_ids.tolist() == [0]


def test_several_categories_and_the_unit_are_described(tmp_path):
    toml = TOML.replace('"hand"', '["hand", "glove"]') + 'coordinates = "pixels"\n'
    path = hands(tmp_path, toml)
    content = json.loads((tmp_path / "train.json").read_text())
    content["categories"].append({"id": 2, "name": "glove", "keypoints": NAMES})
    content["annotations"][0]["category_id"] = 2
    (tmp_path / "train.json").write_text(json.dumps(content))
    assert len(read_custom(path, "train")) == 3
    assert read_custom(path, "train").coco.coordinates == "pixels"
    with pytest.raises(DataError, match="no category `glove` with keypoints.*The file has `hand`"):
        read_custom(path, "valid")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("category = 5", r"data.toml: category: .* \(got 5\)"),
        ("category = []", r"data.toml: category: .*"),
        ('category = ["hand", 5]', r"data.toml: category.*\(got"),
        ('coordinates = "shares"', r"coordinates: Input should be 'pixels' or 'normalised'"),
        ('coordinate = "pixels"', r"unknown key 'coordinate'; did you mean coordinates"),
    ],
)
def test_new_keys_are_checked(tmp_path, line, message):
    toml = TOML.replace('category = "hand"\n', "") if line.startswith("category") else TOML
    path = hands(tmp_path, toml + line + "\n")
    with pytest.raises(DataError, match=message):
        read_custom(path, "train")


def test_images_that_are_nowhere(tmp_path):
    path = hands(tmp_path)
    for image in (tmp_path / "pictures").iterdir():
        image.rename(tmp_path / f"_{image.name}")
    message = (
        r"train.json: none of its 3 images is there.*file_name = 'train1.png'; looked in .*pictures, "
        r".* and the folders in them; give the folder of the images: images = \"…\" in .*data.toml"
    )
    with pytest.raises(DataError, match=message):
        read_custom(path, "train")


def test_a_search_on_converted_data(tmp_path, tiny):
    """Nulls, texts, missing boxes, folders in names: AP is computed after the first epoch."""
    path = hands(tmp_path)
    for split in ("train", "valid"):
        content = json.loads((tmp_path / f"{split}.json").read_text())
        for row, image in zip(content["annotations"], content["images"], strict=True):
            row["keypoints"] = ["20", "30", 2, None, None, 0, 60.5, 70, "1"]
            row["iscrowd"], row["image_id"] = "0", str(row["image_id"])
            del row["bbox"], row["area"], row["num_keypoints"]
            image["file_name"] = f"C:\\data\\{image['file_name']}"
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    data = DataSpec("custom", str(path))
    training = replace(tiny.training, epochs=1, batch_size=3)
    experiment = replace(tiny, data=data, parts=1, training=training)
    search = Search(experiment, tmp_path / "run", progress=False)
    search.finish()
    search.close()
    assert search.primary_metric == "ap" and len(search.valid) == 3
    assert 0 <= search.run.metrics()["metrics"]["ap"] <= 100


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
