"""Sentences about a result: the score beside the mean pose, and what is doubtful."""

import pytest

from posenfs.search.result import describe_score, result_doubts


@pytest.mark.parametrize(
    ("score", "mean_pose", "sentence"),
    [
        (50.0, 20.0, "OKS-AP 50.0 on 1 person; mean pose 20.0; ratio 2.5"),
        (50.0, 0.0, "OKS-AP 50.0 on 1 person; mean pose 0.0, so that there is no ratio"),
        (0.0, 0.0, "OKS-AP 0.0 on 1 person; mean pose 0.0, so that there is no ratio"),
        (50.0, None, "OKS-AP 50.0 on 1 person; mean pose not evaluated"),
        (None, 0.0, "OKS-AP: no value on 1 person"),
    ],
)
def test_the_score_beside_the_mean_pose(score, mean_pose, sentence):
    baseline = {} if mean_pose is None else {"ap": mean_pose}
    metrics = {"primary_metric": "ap", "metrics": {"ap": score}, "mean_pose": baseline, "people": 1}
    assert describe_score(metrics) == sentence


def test_doubts_are_sentences_by_split():
    metrics = {
        "left_out": {"hands train": {"crowd": 2, "no labelled keypoint": 1}},
        "doubtful": {
            "hands train": {"image of a single colour": 1},
            "hands valid": {"image of a single colour": 3, "box missing: made from keypoints": 4},
        },
    }
    assert result_doubts(metrics) == [
        "hands train: left out: 2 people (crowd); 1 person (no labelled keypoint)",
        "hands train: doubtful: 1 image of a single colour",
        "hands valid: doubtful: 3 images of a single colour; 4 boxes missing: made from keypoints",
    ]
    assert result_doubts({"left_out": {}}) == []  # as older versions wrote
