"""Files of drawn data sets: MPII's and COCO's forms, and interrupted or foreign folders."""

import json
import shutil

import numpy as np
import pytest
from pycocotools.coco import COCO as COCOFile
from pycocotools.cocoeval import COCOeval
from scipy.io import loadmat

from posenfs.body.skeleton import COCO, LSP, MPII
from posenfs.data.datasets.catalogue import DataSpec, open_data
from posenfs.data.datasets.coco import read_coco
from posenfs.data.datasets.mpii import FILE_ORDER, read_mpii
from posenfs.data.pixels import load_image
from posenfs.data.synthetic import writer as synthetic
from posenfs.data.synthetic.drawing import draw_image
from posenfs.data.synthetic.writer import write_synthetic


def test_files_do_not_depend_on_the_number_of_processes(tmp_path):
    for processes in (1, 2):
        write_synthetic(tmp_path / str(processes), 3, 2, processes=processes, progress=False)
    files = sorted(
        p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*") if p.is_file()
    )
    assert len(files) == 5 + 3 + 2 + 1
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_mpii_files_contain_the_drawn_people(drawn):
    for split, count in (("train", 12), ("valid", 6)):
        people = read_mpii(drawn, split)
        entries = json.loads((drawn / "annot" / f"{split}.json").read_text())
        drawn_people = [person for i in range(count) for person in draw_image(i, split).people]
        expected = [
            person for person in drawn_people if (person.visibility[MPII.name] == 2).sum() >= 3
        ]
        assert len(people) == len(expected)
        for n, person in enumerate(expected):
            visibility = person.visibility[MPII.name]
            assert (people.visibility[n] == visibility).all()
            keypoints = np.where(visibility[:, None] > 0, person.keypoints[MPII.name], 0)
            np.testing.assert_allclose(people.keypoints_image[n], keypoints, atol=1e-9)
            head_size = 0.6 * np.linalg.norm(person.head_box[1] - person.head_box[0])
            assert entries[n]["scale"] == pytest.approx(10 * head_size / 200, abs=1e-6)
            # the scale in the files has six decimals, so a head size has five
            tolerance = 1e-9 if split == "valid" else 2e-5
            assert people.head_sizes[n] == pytest.approx(head_size, abs=tolerance)
            side = 10 * head_size  # 200 * scale
            box = [*(np.array(person.center) + [0, 0.075 * side] - side / 2), side, side]
            np.testing.assert_allclose(people.boxes[n], box, atol=2e-4)
            assert load_image(people.image_path(n)).shape[0] == 3


def test_coco_files_contain_the_drawn_people(drawn):
    for split, count in (("train", 12), ("valid", 6)):
        people = read_coco(drawn, split)
        drawn_people = [person for i in range(count) for person in draw_image(i, split).people]
        listed = [
            person for person in drawn_people if (person.visibility[MPII.name] == 2).sum() >= 3
        ]
        expected = [person for person in listed if person.visibility[COCO.name].any()]
        assert len(people) == len(expected) and people.box_source == "annotated"
        for n, person in enumerate(expected):
            visibility = person.visibility[COCO.name]
            np.testing.assert_array_equal(people.visibility[n], visibility)
            keypoints = np.where(visibility[:, None] > 0, person.keypoints[COCO.name], 0)
            np.testing.assert_array_equal(people.keypoints_image[n], keypoints)
            np.testing.assert_array_equal(people.boxes[n], person.box)
        assert load_image(people.image_path(0)).shape[0] == 3


def test_pycocotools_reads_the_coco_files(drawn, capsys):
    file = COCOFile(drawn / "annotations" / "person_keypoints_val.json")
    annotations = file.loadAnns(file.getAnnIds())
    assert len(annotations) == len(read_mpii(drawn, "valid")) and len(file.getImgIds()) == 6
    for annotation in annotations:
        assert annotation["num_keypoints"] == sum(v > 0 for v in annotation["keypoints"][2::3])
        assert annotation["area"] > 0
    truth = [{**annotation, "score": 1.0} for annotation in annotations]
    scored = COCOeval(file, file.loadRes(truth), "keypoints")
    scored.evaluate(), scored.accumulate(), scored.summarize()
    assert scored.stats[0] == scored.stats[5] == 1  # AP and AR of the truth itself
    category = file.loadCats(file.getCatIds(["person"]))[0]
    names = category["keypoints"]
    assert ["left_shoulder", "left_elbow"] in [
        [names[a - 1], names[b - 1]] for a, b in category["skeleton"]
    ]


def test_a_set_of_an_older_format_is_redrawn(tmp_path):
    root = write_synthetic(tmp_path / "set", 2, 1, progress=False)
    files = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    arguments = json.loads((root / "synthetic.json").read_text())
    (root / "synthetic.json").write_text(json.dumps(arguments | {"format": 1}))
    shutil.rmtree(root / "annotations")
    write_synthetic(root, 2, 1, progress=False)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == files
    for damaged in (json.dumps(arguments | {"format": 1, "seed": 5}), "", "{}", "[1]"):
        (root / "synthetic.json").write_text(damaged)
        with pytest.raises(FileExistsError, match=str(root)):
            write_synthetic(root, 2, 1, progress=False)


def test_ground_truth_has_the_form_of_mpiis_file(drawn):
    file = loadmat(drawn / "annot" / "gt_valid.mat")
    entries = json.loads((drawn / "annot" / "valid.json").read_text())
    assert file["pos_gt_src"].shape == (16, 2, len(entries))
    assert file["jnt_missing"].shape == (16, len(entries))
    assert file["headboxes_src"].shape == (2, 2, len(entries))
    names = [str(name[0]) for name in file["dataset_joints"][0]]
    assert [names[i] for i in FILE_ORDER[:4]] == ["head", "neck", "thor", "lsho"]
    joints = [entry["joints"] for entry in entries]
    np.testing.assert_allclose(file["pos_gt_src"].transpose(2, 0, 1), joints)


def test_an_interrupted_set_is_drawn_again(tmp_path, monkeypatch):
    draw_image, calls = synthetic.draw_image, []

    def interrupt_third_call(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return draw_image(*args)

    monkeypatch.setattr(synthetic, "draw_image", interrupt_third_call)
    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "set", 4, 2, processes=1, progress=False)
    assert not (tmp_path / "set" / "synthetic.json").exists()
    write_synthetic(tmp_path / "set", 4, 2, processes=1, progress=False)
    write_synthetic(tmp_path / "whole", 4, 2, processes=1, progress=False)
    for path in (tmp_path / "whole").rglob("*"):
        if path.is_file():
            copy = tmp_path / "set" / path.relative_to(tmp_path / "whole")
            assert path.read_bytes() == copy.read_bytes()
    count = len(calls)
    (tmp_path / "set" / "images" / ".train_000000.x.jpg").touch()  # of a killed process
    write_synthetic(tmp_path / "set", 4, 2, processes=1, progress=False)
    assert len(calls) == count  # a complete set is not drawn again


def test_folders_with_another_set_or_other_files_are_not_overwritten(drawn, tmp_path):
    message = (
        f"{drawn} holds 12 \\+ 6 drawn images, .* "
        "requested is 13 \\+ 6 drawn images, difficulty default, seed 0"
    )
    with pytest.raises(FileExistsError, match=message):
        write_synthetic(drawn, 13, 6, processes=1, progress=False)
    shutil.copytree(drawn / "annot", tmp_path / "annot")
    (tmp_path / "annot" / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match=str(tmp_path)):
        write_synthetic(tmp_path, 2, 1, processes=1, progress=False)
    assert (tmp_path / "annot" / "mine.txt").read_text() == "precious"


def test_an_error_names_the_wrong_argument(tmp_path):
    message = r"'mad'; choose one of plain, default, hard"
    with pytest.raises(ValueError, match=message):
        draw_image(0, difficulty="mad")
    with pytest.raises(ValueError, match=message):
        write_synthetic(tmp_path / "x", difficulty="mad")
    with pytest.raises(ValueError, match="negative"):
        write_synthetic(tmp_path / "x", seed=-1)
    with pytest.raises(
        ValueError, match="at least 1 image to train and 1 to validate on; got 2000 and 0"
    ):
        write_synthetic(tmp_path / "x", valid=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="file is a file; choose a folder"):
        write_synthetic(tmp_path / "file", 1, 1, processes=1, progress=False)
    with pytest.raises(OSError, match="file"):
        write_synthetic(tmp_path / "file" / "set", 1, 1, processes=1, progress=False)
    assert not (tmp_path / "x").exists()


def test_mpii_people_with_the_keypoints_of_lsp(drawn):
    """LSP's neck is MPII's upper neck; a keypoint without annotation raises an error."""
    _, mpii = open_data(DataSpec("synthetic", str(drawn), (12, 6)), progress=False)
    _, lsp = open_data(DataSpec("synthetic_lsp", str(drawn), (12, 6)), progress=False)
    assert lsp.skeleton == LSP
    for k, name in enumerate(LSP.keypoints):
        source = MPII.index({"neck": "upper_neck"}.get(name, name))
        np.testing.assert_array_equal(lsp.keypoints_image[:, k], mpii.keypoints_image[:, source])
        np.testing.assert_array_equal(lsp.visibility[:, k], mpii.visibility[:, source])
    with pytest.raises(ValueError, match="MPII-16 has no keypoint 'nose'"):
        mpii.with_skeleton(COCO)
