"""OKS, suppression and rescoring against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from posenfs.body.skeleton import COCO
from posenfs.evaluation.oks import nms_areas, oks_nms, pose_similarity, rescore

SIGMAS = np.array(COCO.oks_sigmas)


def plain_similarity(a, b, area_a, area_b):
    total = 0.0
    for k in range(len(a)):
        squared = (a[k][0] - b[k][0]) ** 2 + (a[k][1] - b[k][1]) ** 2
        total += np.exp(
            -squared / (2 * (2 * SIGMAS[k]) ** 2 * ((area_a + area_b) / 2 + np.spacing(1)))
        )
    return total / len(a)


def plain_nms(poses, scores, areas, threshold):
    """Of equal scores the last comes first, as by HRNet's `scores.argsort()[::-1]`."""
    remaining = []
    for candidate in sorted(range(len(poses)), key=lambda n: (-scores[n], -n)):
        similarities = [
            plain_similarity(poses[k], poses[candidate], areas[k], areas[candidate])
            for k in remaining
        ]
        if all(similarity <= threshold for similarity in similarities):
            remaining.append(candidate)
    return remaining


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(0, 12),
    st.sampled_from([0.3, 0.7, 0.9]),
    st.sampled_from([0, 2, 30]),
)
def test_suppression_and_similarity_equal_plain_loops(seed, count, threshold, spread):
    random = np.random.default_rng(seed)
    centres = random.uniform(0, 200, (3, 17, 2))
    poses = centres[random.integers(0, 3, count)] + spread * random.normal(
        size=(count, 17, 2)
    )  # spread 0: duplicates
    scores = random.integers(0, 4, count) / 4  # ties
    areas = random.uniform(500, 20000, count)
    assert oks_nms(poses, scores, areas, SIGMAS, threshold) == plain_nms(
        poses, scores, areas, threshold
    )
    for n in range(count):
        similarities = pose_similarity(poses[n], poses, areas[n], areas, SIGMAS)
        plain = [plain_similarity(poses[n], poses[m], areas[n], areas[m]) for m in range(count)]
        assert similarities == pytest.approx(plain)


def test_one_of_four_equal_poses_remains():
    poses = np.repeat(np.random.default_rng(0).uniform(0, 99, (1, 17, 2)), 4, axis=0)
    assert oks_nms(poses, np.array([0.1, 0.9, 0.9, 0.5]), np.full(4, 900.0), SIGMAS) == [2]


@given(st.integers(0, 10**6))
def test_rescoring_equals_a_loop_in_float32(seed):
    random = np.random.default_rng(seed)
    scores, boxes = random.uniform(0, 1, (5, 17)), random.uniform(0, 1, 5)
    scores[0] = 0.1
    for n, pose_score in enumerate(rescore(boxes, scores)):
        total, count = np.float32(0), 0
        for score in scores[n].astype(np.float32):
            if score > 0.2:
                total, count = np.float32(total + score), count + 1
        mean = total / np.float32(count) if count else np.float32(0)
        assert pose_score == float(mean) * boxes[n]


def test_areas_of_padded_crops():
    boxes = np.array([[0, 0, 30, 40], [0, 0, 30, 10], [5, 5, 10, 40]])
    assert nms_areas(boxes) == pytest.approx(np.array([30 * 40, 30 * 40, 30 * 40]) * 1.25**2)
