"""Skeletons: flip pairs, limbs, and left and right in keypoint names."""

import pytest

from posenfs.body.skeleton import COCO, LSP, MPII, Skeleton


@pytest.mark.parametrize("skeleton", [MPII, COCO, LSP], ids=lambda s: s.name)
def test_flip_order_swaps_left_and_right_only(skeleton):
    swap = {"left": "right", "right": "left"}
    for k, mirrored in enumerate(skeleton.flip_order):
        side, _, rest = skeleton.keypoints[k].partition("_")
        expected = f"{swap[side]}_{rest}" if side in swap else skeleton.keypoints[k]
        assert skeleton.keypoints[mirrored] == expected
    assert [skeleton.flip_order[k] for k in skeleton.flip_order] == list(range(len(skeleton)))


@pytest.mark.parametrize(
    ("skeleton", "keypoints", "components"),
    [(MPII, 16, 1), (COCO, 17, 2), (LSP, 14, 1)],  # COCO has no neck: its face is not connected
    ids=["MPII", "COCO", "LSP"],
)
def test_limbs_connect_all_keypoints(skeleton, keypoints, components):
    assert len(skeleton) == keypoints
    groups = [{k} for k in range(keypoints)]
    for limb in skeleton.limbs:
        joined = set().union(*(group for group in groups if group & set(limb)))
        groups = [group for group in groups if not group & joined] + [joined]
    assert len(groups) == components


def test_an_unknown_keypoint_error_lists_the_known_keypoints():
    with pytest.raises(ValueError, match=r"'tail'.*pelvis"):
        MPII.index("tail")


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (("left_eye", "right_eye", "nose"), [("left_eye", "right_eye")]),
        (("eye_right", "eye_left"), [("eye_left", "eye_right")]),
        (("L_Knee", "R_Knee", "l-hip", "r-hip"), [("L_Knee", "R_Knee"), ("l-hip", "r-hip")]),
        (("LKnee", "RKnee", "LeftHip", "RightHip"), [("LKnee", "RKnee"), ("LeftHip", "RightHip")]),
        (
            ("hip.L", "hip.R", "ear right", "ear left"),
            [("hip.L", "hip.R"), ("ear left", "ear right")],
        ),
        (
            (
                "hand_left_thumb",
                "hand_right_thumb",
                "kneeL",
                "kneeR",
                "handLeftTip",
                "handRightTip",
            ),
            [
                ("hand_left_thumb", "hand_right_thumb"),
                ("kneeL", "kneeR"),
                ("handLeftTip", "handRightTip"),
            ],
        ),
        (("left", "right", "nose"), [("left", "right")]),
        (("xL", "xR", "pixel_left_of", "pixel_right_off"), [("xL", "xR")]),
        (("lip", "rip", "left", "leftover", "rightover", "left_only"), []),
    ],
)
def test_unmirrored_pairs_are_found_by_name(names, pairs):
    assert list(Skeleton("own", names, (), ()).unmirrored_pairs()) == pairs
    mirrored = tuple((names.index(left), names.index(right)) for left, right in pairs)
    assert not Skeleton("own", names, mirrored, ()).unmirrored_pairs()


def test_built_in_skeletons_have_all_flip_pairs():

    assert not any(skeleton.unmirrored_pairs() for skeleton in (MPII, COCO, LSP))
