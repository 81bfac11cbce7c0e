"""Graphs of skeletons and part schemes have every keypoint, its name and its parts."""

import pytest

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import COCO, LSP, MPII
from posenfs.viz.skeleton_graph import draw_part_schemes, draw_skeleton


@pytest.mark.parametrize("skeleton", [MPII, COCO, LSP], ids=lambda s: s.name)
def test_skeletons_have_numbers_and_names(skeleton):
    svg = draw_skeleton(skeleton).svg()
    for number, name in enumerate(skeleton.keypoints):
        assert f">{number} {name.replace('_', ' ')}<" in svg
    assert svg.count('class="edge limb"') == len(skeleton.limbs)


def test_part_schemes_have_all_parts():
    schemes = {f"P = {count}": part_scheme(MPII, count) for count in (1, 3, 5, 8)}
    svg = draw_part_schemes(MPII, schemes).svg()
    assert (
        svg.count('class="node keypoint"') == 4 * 16
        and svg.count('class="node part"') == 1 + 3 + 5 + 8
    )
    for title, parts in schemes.items():
        assert f">{title}<" in svg
        for part in parts:
            assert f">{part.name.removesuffix('_part').replace('_', ' ')}<" in svg
    assert (
        "left shoulder: left upper arm part and head shoulder part" in svg
    )  # of two parts, whose maps are summed
