"""Drawn people: exact labels, true MPII and COCO files, the same set whatever interrupts it."""

import json
import shutil

import numpy as np
import pytest
from pycocotools.coco import COCO as COCOFile
from pycocotools.cocoeval import COCOeval
from scipy.io import loadmat

from posenfs.body.skeleton import COCO, LSP, MPII
from posenfs.data.datasets import drawing, figures, synthetic
from posenfs.data.datasets.catalogue import DataSpec, open_data
from posenfs.data.datasets.coco import read_coco
from posenfs.data.datasets.drawing import DIFFICULTIES, draw_picture
from posenfs.data.datasets.mpii import FILE_ORDER, read_mpii
from posenfs.data.datasets.synthetic import write_synthetic
from posenfs.data.sample import load_image


@pytest.fixture(scope="module")
def people():
    return [person for index in range(40) for person in draw_picture(index).people]


def at(person, name, skeleton=MPII):
    return person.keypoints[skeleton.name][skeleton.index(name)]


def test_a_picture_is_a_function_of_its_number():
    for difficulty in DIFFICULTIES:
        a, b = draw_picture(7, "train", 3, difficulty), draw_picture(7, "train", 3, difficulty)
        assert (a.image == b.image).all()
        for p, q in zip(a.people, b.people, strict=True):
            assert all((p.keypoints[s] == q.keypoints[s]).all() for s in p.keypoints)
    a = draw_picture(7).image
    for change in ({"index": 8}, {"split": "valid"}, {"seed": 1}, {"difficulty": "hard"}):
        other = draw_picture(**{"index": 7} | change)
        assert a.shape != other.image.shape or (a != other.image).any()


def test_files_do_not_depend_on_the_number_of_processes(tmp_path):
    for processes in (1, 2):
        write_synthetic(tmp_path / str(processes), 3, 2, processes=processes, progress=False)
    files = sorted(
        p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*") if p.is_file()
    )
    assert len(files) == 5 + 3 + 2 + 1
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_labels_lie_in_the_picture(people):
    for index in range(40):
        picture = draw_picture(index)
        height, width = picture.image.shape[:2]
        for person in picture.people:
            for skeleton in (MPII, COCO):
                keypoints, visibility = (
                    person.keypoints[skeleton.name],
                    person.visibility[skeleton.name],
                )
                inside = ((keypoints > -0.5) & (keypoints < [width - 0.5, height - 0.5])).all(-1)
                face = np.isin(np.arange(len(skeleton)), range(5)) & (skeleton is COCO)
                assert (inside == (visibility > 0))[~face].all()
                assert inside[visibility > 0].all() and not (visibility[face] == 1).any()
            x, y, w, h = person.box
            assert x >= -0.5 and y >= -0.5 and x + w <= width - 0.5 and y + h <= height - 0.5
            assert 0 <= person.area <= width * height


def test_both_skeletons_are_of_one_body(people):
    for person in people:
        for name in set(MPII.keypoints) & set(COCO.keypoints):
            assert (at(person, name) == at(person, name, COCO)).all()


def test_head_boxes_hold_the_head(people):
    for person in people:
        for name in ("head_top", "upper_neck"):
            assert (person.head_box[0] <= at(person, name)).all() and (
                at(person, name) <= person.head_box[1]
            ).all()
        length = np.linalg.norm(at(person, "head_top") - at(person, "upper_neck"))
        assert 0.6 * np.linalg.norm(person.head_box[1] - person.head_box[0]) > 0.5 * length


def test_bones_keep_their_length():
    """In space every bone is as long as the body says, however it is bent; projection only shortens it."""
    for seed, pose in enumerate(figures.POSES):
        rng = np.random.default_rng(seed)
        angles, body = figures.sample_pose(rng, pose), figures.sample_body(rng)
        joints, _ = figures.place_joints(angles, body, figures.view(rng.uniform(0, 360), 10))
        for side in ("left", "right"):
            for a, b, bone in (
                ("hip", "knee", "thigh"),
                ("knee", "ankle", "shin"),
                ("shoulder", "elbow", "upper_arm"),
            ):
                length = np.linalg.norm(joints[f"{side}_{a}"] - joints[f"{side}_{b}"])
                assert length == pytest.approx(body[bone])
        for name, value in angles.items():
            limit = figures.LIMITS.get(name.removeprefix("left_").removeprefix("right_"))
            if limit and not name.endswith(
                "hip_flexion"
            ):  # which is measured from the leaning pelvis
                low, high = limit
                assert min(low, -high) <= value <= max(high, -low), (pose, name)


def test_left_is_right_of_a_person_who_faces_us():
    body = figures.sample_body(np.random.default_rng(0))
    angles = figures.sample_pose(np.random.default_rng(0), "standing")
    front, _ = figures.place_joints(angles, body, figures.view(0, 0))
    back, _ = figures.place_joints(angles, body, figures.view(180, 0))
    for name in ("shoulder", "hip", "ankle"):
        assert front[f"left_{name}"][0] > front[f"right_{name}"][0]
        assert back[f"left_{name}"][0] < back[f"right_{name}"][0]
    assert front["nose"][2] > front["head_top"][2]  # the face is towards us


def test_visible_keypoints_are_really_in_sight():
    """Another way: a keypoint seen alone stays seen when nothing else is drawn; one hidden by another does not."""
    hidden = seen = 0
    for index in range(30):
        size, light, cast, things, rng = drawing._stage(index, "train", 0, "default")
        settings = DIFFICULTIES["default"]
        canvas = drawing._render(size, light, cast, things, rng("background"), settings)
        for n, figure in enumerate(cast):
            person = drawing._label(figure, canvas, n + 1, rng(f"annotator {n}"))
            alone = drawing._render(size, light, [figure], [], rng("background"), settings)
            by_itself = drawing._label(figure, alone, 1, rng(f"annotator {n}")).visibility[
                MPII.name
            ]
            whole = person.visibility[MPII.name]
            assert (whole <= by_itself).all()  # others only ever hide
            pixels = np.rint(person.keypoints[MPII.name][whole == 2]).astype(int)
            assert (canvas.owner[pixels[:, 1], pixels[:, 0]] == n + 1).all()
            hidden, seen = hidden + (whole == 1).sum(), seen + (whole == 2).sum()
    assert 0.1 < hidden / (hidden + seen) < 0.5


def test_files_hold_what_was_drawn(drawn):
    for split, count in (("train", 12), ("valid", 6)):
        people = read_mpii(drawn, split)
        entries = json.loads((drawn / "annot" / f"{split}.json").read_text())
        drawn_people = [person for i in range(count) for person in draw_picture(i, split).people]
        expected = [
            person for person in drawn_people if (person.visibility[MPII.name] == 2).sum() >= 3
        ]
        assert len(people) == len(expected)
        for n, person in enumerate(expected):
            visibility = person.visibility[MPII.name]
            assert (people.visibility[n] == visibility).all()
            np.testing.assert_allclose(
                people.keypoints_image[n],
                np.where(visibility[:, None] > 0, person.keypoints[MPII.name], 0),
                atol=1e-9,
            )
            head_size = 0.6 * np.linalg.norm(person.head_box[1] - person.head_box[0])
            assert entries[n]["scale"] == pytest.approx(10 * head_size / 200, abs=1e-6)
            # the scale in the files has six decimals: a head size has five
            assert people.head_sizes[n] == pytest.approx(
                head_size, abs=1e-9 if split == "valid" else 2e-5
            )
            side = 10 * head_size  # 200 * scale
            box = [*(np.array(person.center) + [0, 0.075 * side] - side / 2), side, side]
            np.testing.assert_allclose(people.boxes[n], box, atol=2e-4)
            assert load_image(people.image_path(n)).shape[0] == 3


def test_coco_files_hold_what_was_drawn(drawn):
    for split, count in (("train", 12), ("valid", 6)):
        people = read_coco(drawn, split)
        whole = [person for i in range(count) for person in draw_picture(i, split).people]
        listed = [person for person in whole if (person.visibility[MPII.name] == 2).sum() >= 3]
        expected = [person for person in listed if person.visibility[COCO.name].any()]
        assert len(people) == len(expected) and people.box_source == "annotated"
        for n, person in enumerate(expected):
            visibility = person.visibility[COCO.name]
            np.testing.assert_array_equal(people.visibility[n], visibility)
            drawn_at = np.where(visibility[:, None] > 0, person.keypoints[COCO.name], 0)
            np.testing.assert_array_equal(people.keypoints_image[n], drawn_at)
            np.testing.assert_array_equal(people.boxes[n], person.box)
        assert load_image(people.image_path(0)).shape[0] == 3


def test_pycocotools_reads_the_coco_files(drawn, capsys):
    file = COCOFile(drawn / "annotations" / "person_keypoints_val.json")
    annotations = file.loadAnns(file.getAnnIds())
    assert len(annotations) == len(read_mpii(drawn, "valid")) and len(file.getImgIds()) == 6
    for annotation in annotations:
        assert (
            annotation["num_keypoints"] == sum(v > 0 for v in annotation["keypoints"][2::3])
            and annotation["area"] > 0
        )
    truth = [{**annotation, "score": 1.0} for annotation in annotations]
    scored = COCOeval(file, file.loadRes(truth), "keypoints")
    scored.evaluate(), scored.accumulate(), scored.summarize()
    assert scored.stats[0] == scored.stats[5] == 1  # AP and AR of the truth itself
    category = file.loadCats(file.getCatIds(["person"]))[0]
    names = category["keypoints"]
    assert ["left_shoulder", "left_elbow"] in [
        [names[a - 1], names[b - 1]] for a, b in category["skeleton"]
    ]


def test_a_set_of_an_older_format_is_drawn_anew(tmp_path):
    root = write_synthetic(tmp_path / "set", 2, 1, progress=False)
    files = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    held = json.loads((root / "synthetic.json").read_text())
    (root / "synthetic.json").write_text(json.dumps(held | {"format": 1}))
    shutil.rmtree(root / "annotations")
    write_synthetic(root, 2, 1, progress=False)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == files
    for damaged in (json.dumps(held | {"format": 1, "seed": 5}), "", "{}", "[1]"):
        (root / "synthetic.json").write_text(damaged)
        with pytest.raises(FileExistsError, match=str(root)):
            write_synthetic(root, 2, 1, progress=False)


def test_ground_truth_has_mpiis_own_form(drawn):
    file = loadmat(drawn / "annot" / "gt_valid.mat")
    entries = json.loads((drawn / "annot" / "valid.json").read_text())
    assert file["pos_gt_src"].shape == (16, 2, len(entries))
    assert file["jnt_missing"].shape == (16, len(entries)) and file["headboxes_src"].shape == (
        2,
        2,
        len(entries),
    )
    names = [str(name[0]) for name in file["dataset_joints"][0]]
    assert [names[i] for i in FILE_ORDER[:4]] == ["head", "neck", "thor", "lsho"]
    np.testing.assert_allclose(
        file["pos_gt_src"].transpose(2, 0, 1), [entry["joints"] for entry in entries]
    )


def test_boxes_frame_people_as_mpiis_do(people):
    """The square that readers cut holds nearly all labelled keypoints, and its middle is near the body's."""
    inside = []
    for person in people:
        scale = drawing.mpii_scale(person.head_box)
        side, center = 250 * scale, np.array(person.center) + [0, 15 * scale]
        labelled = person.visibility[MPII.name] > 0
        inside += (
            (np.abs(person.keypoints[MPII.name][labelled] - center) < side / 2).all(-1).tolist()
        )
    assert np.mean(inside) > 0.97


def test_an_interrupted_set_is_drawn_again(tmp_path, monkeypatch):
    draw, drawn = synthetic.draw_picture, []

    def draw_some(*args):
        drawn.append(args)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(*args)

    monkeypatch.setattr(synthetic, "draw_picture", draw_some)
    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "set", 4, 2, processes=1, progress=False)
    assert not (tmp_path / "set" / "synthetic.json").exists()
    write_synthetic(tmp_path / "set", 4, 2, processes=1, progress=False)
    write_synthetic(tmp_path / "whole", 4, 2, processes=1, progress=False)
    for path in (tmp_path / "whole").rglob("*"):
        if path.is_file():
            assert (
                path.read_bytes()
                == (tmp_path / "set" / path.relative_to(tmp_path / "whole")).read_bytes()
            )
    before = len(drawn)
    (tmp_path / "set" / "images" / ".train_000000.x.jpg").touch()  # of a process that was killed
    write_synthetic(tmp_path / "set", 4, 2, processes=1, progress=False)
    assert len(drawn) == before  # what is there is left alone


def test_another_set_or_other_files_are_refused(drawn, tmp_path):
    words = f"{drawn} holds 12 \\+ 6 drawn pictures, .* asked for is 13 \\+ 6 drawn pictures, difficulty default, seed 0"
    with pytest.raises(FileExistsError, match=words):
        write_synthetic(drawn, 13, 6, processes=1, progress=False)
    shutil.copytree(drawn / "annot", tmp_path / "annot")
    (tmp_path / "annot" / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match=str(tmp_path)):
        write_synthetic(tmp_path, 2, 1, processes=1, progress=False)
    assert (tmp_path / "annot" / "mine.txt").read_text() == "precious"


def test_wrong_arguments_are_named(tmp_path):
    for call in (
        lambda: draw_picture(0, difficulty="mad"),
        lambda: write_synthetic(tmp_path / "x", difficulty="mad"),
    ):
        with pytest.raises(ValueError, match=r"'mad'; choose one of plain, default, hard"):
            call()
    with pytest.raises(ValueError, match="negative"):
        write_synthetic(tmp_path / "x", seed=-1)
    with pytest.raises(
        ValueError, match="at least 1 picture to train and 1 to validate on; got 2000 and 0"
    ):
        write_synthetic(tmp_path / "x", valid=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="file is a file: people are drawn into a folder"):
        write_synthetic(tmp_path / "file", 1, 1, processes=1, progress=False)
    with pytest.raises(OSError, match="file"):
        write_synthetic(tmp_path / "file" / "set", 1, 1, processes=1, progress=False)
    assert not (tmp_path / "x").exists()


def test_presets_differ_as_they_say():
    people = {d: [draw_picture(i, difficulty=d).people for i in range(12)] for d in DIFFICULTIES}
    counts = {d: {len(cast) for cast in casts} for d, casts in people.items()}
    assert counts["plain"] == {1} and counts["default"] <= {1, 2, 3} and min(counts["hard"]) >= 2
    hidden = {
        d: np.mean(
            [(person.visibility[MPII.name] == 1).mean() for cast in casts for person in cast]
        )
        for d, casts in people.items()
    }
    assert hidden["plain"] < hidden["default"] < hidden["hard"]


def test_the_same_people_by_the_keypoints_of_lsp(drawn):
    """Named keypoints stay where they are; LSP's neck is MPII's upper neck; what has no label is refused."""
    own, other = (
        open_data(DataSpec(name, str(drawn), (12, 6)), progress=False)[1]
        for name in ("synthetic", "synthetic_lsp")
    )
    assert other.skeleton == LSP
    for k, name in enumerate(LSP.keypoints):
        there = MPII.index({"neck": "upper_neck"}.get(name, name))
        np.testing.assert_array_equal(other.keypoints_image[:, k], own.keypoints_image[:, there])
        np.testing.assert_array_equal(other.visibility[:, k], own.visibility[:, there])
    with pytest.raises(ValueError, match="MPII-16 has no keypoint 'nose'"):
        own.with_skeleton(COCO)
