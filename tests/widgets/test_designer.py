"""The part designer: the displayed parts are the part scheme of an experiment."""

import pytest
from hypothesis import given, settings, strategies as st

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import COCO, LSP, MPII, Skeleton
from posenfs.widgets.designer import PartDesigner


@pytest.mark.parametrize("skeleton", [MPII, COCO, LSP])
@pytest.mark.parametrize("count", [1, 3, 5, 8])
def test_scheme_of_table_1(skeleton, count):
    designer = PartDesigner(skeleton, count)
    assert (
        designer.scheme() == part_scheme(skeleton, count) == part_scheme(skeleton, designer.parts)
    )
    assert f"<b>{len(skeleton)} of {len(skeleton)}</b>" in designer.facts.value
    assert ("several parts" in designer.facts.value) == (count == 8)


def test_click_toggles_a_keypoint_and_undo_reverts_it():
    designer = PartDesigner(LSP, {"upper": ["neck"]})
    assert "13 of 14" not in designer.facts.value and "in no part" in designer.facts.value
    designer._toggle("keypoint/0")
    assert designer.parts == {"upper": ("right_ankle", "neck")}
    with pytest.raises(ValueError, match="no part covers"):
        designer.scheme()
    designer._toggle("keypoint/0")
    assert designer.parts == {"upper": ("neck",)}
    designer.buttons["undo"].click()
    designer.buttons["undo"].click()
    assert designer.parts == {"upper": ("neck",)} and designer.buttons["undo"].disabled


def test_parts_are_added_renamed_and_removed():
    designer = PartDesigner(LSP, {"upper": ["neck"]})
    designer.buttons["add"].click()
    assert "write the part&#x27;s name first" in designer.message.value
    designer.name.value = "lower half"
    designer.buttons["add"].click()
    assert (
        designer.parts == {"upper": ("neck",), "lower_half": ()}
        and designer.part.value == "lower_half"
    )
    assert "without a keypoint: lower half" in designer.facts.value
    designer._toggle("keypoint/1")
    designer.name.value = "upper"
    designer.buttons["rename"].click()
    assert "there is a part upper" in designer.message.value
    designer.name.value = "legs"
    designer.buttons["rename"].click()
    assert designer.parts == {"upper": ("neck",), "legs": ("right_knee",)}
    designer.buttons["remove"].click()
    assert designer.parts == {"upper": ("neck",)} and designer.part.value == "upper"
    designer.buttons["remove"].click()
    designer._toggle("keypoint/1")
    assert designer.parts == {} and "add a part first" in designer.message.value
    designer.table.value = 5
    assert designer.scheme() == part_scheme(LSP, 5) and designer.table.value is None


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 13)), max_size=20))
def test_every_click_can_be_undone(moves):
    designer = PartDesigner(LSP, 3)
    before, names = designer.parts, list(designer.parts)
    for part, keypoint in moves:
        designer.part.value = names[part]
        designer._toggle(f"keypoint/{keypoint}")
    for _ in moves:
        designer.buttons["undo"].click()
    assert designer.parts == before


def test_skeleton_with_keypoints_outside_the_drawn_body():
    tail = Skeleton("cat", ("nose", "tail"), (), ((0, 1),))
    with pytest.raises(ValueError, match="no place in the drawn body for tail"):
        PartDesigner(tail, {"cat": ("nose", "tail")})
    assert PartDesigner(tail, {"cat": ("nose", "tail")}, {"tail": (1, 4)}).scheme()
    with pytest.raises(ValueError, match="no keypoint 'paw'"):
        PartDesigner(tail, {"cat": ("paw",)})
