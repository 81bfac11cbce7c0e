"""Part schemes: custom parts, and the errors of parts that cannot be used."""

import pytest

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import LSP, MPII


def test_custom_parts():
    names = {
        "left": [k for k in LSP.keypoints if "right" not in k],
        "right": [k for k in LSP.keypoints if "right" in k],
    }
    scheme = part_scheme(LSP, names)
    assert [part.name for part in scheme] == ["left", "right"]
    assert {k for part in scheme for k in part.keypoints} == set(range(14))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (4, "P = 4.*1, 3, 5, 8"),
        ({"head": ["head_top"]}, "no part covers upper_neck"),
        ({"all": [*MPII.keypoints, "tail"]}, "no keypoint 'tail'"),
        ({"all": [*MPII.keypoints, "pelvis"]}, "names pelvis twice"),
        ({"all": MPII.keypoints, "none": []}, "'none' has no keypoint"),
    ],
)
def test_an_error_names_the_faulty_part(parts, message):

    with pytest.raises(ValueError, match=message):
        part_scheme(MPII, parts)
