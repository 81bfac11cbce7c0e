"""Drawn people: exact labels, and images that depend on their arguments only."""

import numpy as np
import pytest

from posenfs.body.skeleton import COCO, MPII
from posenfs.data.synthetic import bodies, drawing
from posenfs.data.synthetic.drawing import DIFFICULTIES, draw_image
from posenfs.data.synthetic.labelling import label_person, mpii_scale


@pytest.fixture(scope="module")
def people():
    return [person for index in range(40) for person in draw_image(index).people]


def at(person, name, skeleton=MPII):
    return person.keypoints[skeleton.name][skeleton.index(name)]


def test_an_image_depends_on_its_arguments_only():
    for difficulty in DIFFICULTIES:
        first = draw_image(7, "train", 3, difficulty)
        second = draw_image(7, "train", 3, difficulty)
        assert (first.image == second.image).all()
        for person, repeated in zip(first.people, second.people, strict=True):
            for name, keypoints in person.keypoints.items():
                assert (keypoints == repeated.keypoints[name]).all()
    image = draw_image(7).image
    for change in ({"index": 8}, {"split": "valid"}, {"seed": 1}, {"difficulty": "hard"}):
        changed = draw_image(**{"index": 7} | change).image
        assert image.shape != changed.shape or (image != changed).any()


def test_labels_lie_in_the_image():
    for index in range(40):
        drawn_image = draw_image(index)
        height, width = drawn_image.image.shape[:2]
        for person in drawn_image.people:
            for skeleton in (MPII, COCO):
                keypoints = person.keypoints[skeleton.name]
                visibility = person.visibility[skeleton.name]
                inside = ((keypoints > -0.5) & (keypoints < [width - 0.5, height - 0.5])).all(-1)
                face = np.isin(np.arange(len(skeleton)), range(5)) & (skeleton is COCO)
                assert (inside == (visibility > 0))[~face].all()
                assert inside[visibility > 0].all() and not (visibility[face] == 1).any()
            x, y, w, h = person.box
            assert x >= -0.5 and y >= -0.5 and x + w <= width - 0.5 and y + h <= height - 0.5
            assert 0 <= person.area <= width * height


def test_shared_keypoints_of_both_skeletons_are_equal(people):
    for person in people:
        for name in set(MPII.keypoints) & set(COCO.keypoints):
            assert (at(person, name) == at(person, name, COCO)).all()


def test_head_boxes_contain_the_head(people):
    for person in people:
        low, high = person.head_box
        for name in ("head_top", "upper_neck"):
            assert (low <= at(person, name)).all() and (at(person, name) <= high).all()
        length = np.linalg.norm(at(person, "head_top") - at(person, "upper_neck"))
        assert 0.6 * np.linalg.norm(high - low) > 0.5 * length


def test_bones_keep_their_length():
    """In 3D every bone has the length that the body gives, and every joint stays in its limits."""
    for seed, pose in enumerate(bodies.POSES):
        rng = np.random.default_rng(seed)
        angles, body = bodies.sample_pose(rng, pose), bodies.sample_body(rng)
        joints, _ = bodies.place_joints(angles, body, bodies.view(rng.uniform(0, 360), 10))
        for side in ("left", "right"):
            for start, end, bone in (
                ("hip", "knee", "thigh"),
                ("knee", "ankle", "shin"),
                ("shoulder", "elbow", "upper_arm"),
            ):
                length = np.linalg.norm(joints[f"{side}_{start}"] - joints[f"{side}_{end}"])
                assert length == pytest.approx(body[bone])
        for name, value in angles.items():
            limit = bodies.LIMITS.get(name.removeprefix("left_").removeprefix("right_"))
            # hip flexion is measured from the leaning pelvis
            if limit and not name.endswith("hip_flexion"):
                low, high = limit
                assert min(low, -high) <= value <= max(high, -low), (pose, name)


def test_the_left_side_of_a_person_who_faces_the_camera_is_at_the_right():
    body = bodies.sample_body(np.random.default_rng(0))
    angles = bodies.sample_pose(np.random.default_rng(0), "standing")
    front, _ = bodies.place_joints(angles, body, bodies.view(0, 0))
    back, _ = bodies.place_joints(angles, body, bodies.view(180, 0))
    for name in ("shoulder", "hip", "ankle"):
        assert front[f"left_{name}"][0] > front[f"right_{name}"][0]
        assert back[f"left_{name}"][0] < back[f"right_{name}"][0]
    assert front["nose"][2] > front["head_top"][2]  # the face points at the camera


def test_visibility_agrees_with_a_person_drawn_alone():
    """Other people and objects can only hide keypoints; visible ones lie on the person's pixels."""
    occluded = visible = 0
    settings = DIFFICULTIES["default"]
    for index in range(30):
        scene = drawing._compose(index, "train", 0, "default")
        canvas = drawing._render(scene, scene.people, scene.objects, settings)
        for n, person in enumerate(scene.people):
            alone_canvas = drawing._render(scene, [person], [], settings)
            rng = scene.rng(f"annotator {n}")
            alone = label_person(person, alone_canvas, 1, rng).visibility[MPII.name]
            drawn_person = label_person(person, canvas, n + 1, rng)
            visibility = drawn_person.visibility[MPII.name]
            assert (visibility <= alone).all()
            pixels = np.rint(drawn_person.keypoints[MPII.name][visibility == 2]).astype(int)
            assert (canvas.owner[pixels[:, 1], pixels[:, 0]] == n + 1).all()
            occluded += (visibility == 1).sum()
            visible += (visibility == 2).sum()
    assert 0.1 < occluded / (occluded + visible) < 0.5


def test_boxes_contain_nearly_all_labelled_keypoints(people):
    """The square that readers cut holds nearly all labelled keypoints, as in MPII."""
    inside = []
    for person in people:
        scale = mpii_scale(person.head_box)
        side, center = 250 * scale, np.array(person.center) + [0, 15 * scale]
        labelled = person.visibility[MPII.name] > 0
        inside += (
            (np.abs(person.keypoints[MPII.name][labelled] - center) < side / 2).all(-1).tolist()
        )
    assert np.mean(inside) > 0.97


def test_difficulties_differ_in_people_and_occlusion():
    counts, occlusion = {}, {}
    for difficulty in DIFFICULTIES:
        images = [draw_image(index, difficulty=difficulty) for index in range(12)]
        counts[difficulty] = {len(image.people) for image in images}
        people = [person for image in images for person in image.people]
        occlusion[difficulty] = np.mean([person.visibility[MPII.name] == 1 for person in people])
    assert counts["plain"] == {1} and counts["default"] <= {1, 2, 3} and min(counts["hard"]) >= 2
    assert occlusion["plain"] < occlusion["default"] < occlusion["hard"]
