import pytest

from posenfs.body.skeleton import COCO, LSP, MPII


@pytest.mark.parametrize("skeleton", [MPII, COCO, LSP], ids=lambda s: s.name)
def test_mirroring_swaps_sides_and_nothing_else(skeleton):
    swap = {"left": "right", "right": "left"}
    for k, mirrored in enumerate(skeleton.flip_order):
        side, _, rest = skeleton.keypoints[k].partition("_")
        expected = f"{swap[side]}_{rest}" if side in swap else skeleton.keypoints[k]
        assert skeleton.keypoints[mirrored] == expected
    assert [skeleton.flip_order[k] for k in skeleton.flip_order] == list(range(len(skeleton)))


@pytest.mark.parametrize(
    ("skeleton", "keypoints", "pieces"),
    [(MPII, 16, 1), (COCO, 17, 2), (LSP, 14, 1)],  # COCO has no neck: its face hangs in the air
    ids=["MPII", "COCO", "LSP"],
)
def test_limbs_join_all_keypoints(skeleton, keypoints, pieces):
    assert len(skeleton) == keypoints
    groups = [{k} for k in range(keypoints)]
    for limb in skeleton.limbs:
        joined = set().union(*(group for group in groups if group & set(limb)))
        groups = [group for group in groups if not group & joined] + [joined]
    assert len(groups) == pieces


def test_unknown_keypoint_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'tail'.*pelvis"):
        MPII.index("tail")
