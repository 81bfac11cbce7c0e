"""Equations 4, 5, 6, 7 and 10, each computed in another way."""

import torch

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.vectors import (
    gather_parts,
    heatmap_loss,
    length_for_score,
    scores,
    squash,
    squash_length,
)


def _vectors(scale=1.0):
    return scale * torch.randn(2, 3, 8, 5, 4, dtype=torch.double)


def test_eq_4_keeps_direction_and_eq_5_is_its_length():
    for scale in (1e-3, 1.0, 1e3):
        vectors = _vectors(scale)
        squashed = squash(vectors)
        length = vectors.norm(dim=2)
        torch.testing.assert_close(squashed.norm(dim=2), squash_length(vectors))
        torch.testing.assert_close(
            torch.cosine_similarity(squashed, vectors, 2), torch.ones_like(length)
        )
        # in another way: |squash| = sin^2(arctan |v|)
        torch.testing.assert_close(squash_length(vectors), length.atan().sin().square())


def test_scores_lie_in_zero_to_one_and_grow_with_length():
    vectors = _vectors()
    assert ((squash_length(vectors) >= 0) & (squash_length(vectors) < 1)).all()
    assert (squash_length(2 * vectors) > squash_length(vectors)).all()


def test_gradient_at_zero_is_exactly_zero():
    vectors = torch.zeros(1, 1, 8, 2, 2, requires_grad=True)
    squash_length(vectors).sum().backward()
    assert vectors.grad.equal(torch.zeros_like(vectors))


def test_gradient_by_finite_differences():
    assert torch.autograd.gradcheck(squash_length, _vectors().requires_grad_())


def test_eq_10_inverts_eq_5():
    score = torch.linspace(0, 0.999, 100, dtype=torch.double)
    vectors = torch.zeros(1, 100, 8, 1, 1, dtype=torch.double)
    vectors[0, :, 3, 0, 0] = length_for_score(score)
    torch.testing.assert_close(squash_length(vectors)[0, :, 0, 0], score)


def test_one_dimension_is_a_plain_linear_map():
    vectors = torch.randn(2, 3, 1, 5, 4)
    assert scores(vectors).equal(vectors[:, :, 0])


def test_eq_7_sums_shared_keypoints():
    parts = part_scheme(MPII, 8)
    maps = [torch.randn(2, len(part.keypoints), 4, 3, dtype=torch.double) for part in parts]
    expected = torch.zeros(2, 16, 4, 3, dtype=torch.double)
    for part, part_maps in zip(parts, maps, strict=True):
        for j, k in enumerate(part.keypoints):
            expected[:, k] += part_maps[:, j]
    torch.testing.assert_close(gather_parts(maps, parts, 16), expected)


def test_eq_6_by_loops():
    predicted, target = (
        torch.rand(2, 3, 4, 5, dtype=torch.double),
        torch.rand(2, 3, 4, 5, dtype=torch.double),
    )
    visibility = torch.tensor([[2, 0, 1], [0, 0, 2]])
    losses = []
    for b in range(2):
        terms = [
            ((predicted[b, k] - target[b, k]) ** 2).sum() for k in range(3) if visibility[b, k]
        ]
        losses.append(sum(terms) / 3)
    torch.testing.assert_close(heatmap_loss(predicted, target, visibility), sum(losses) / 2)


def test_unlabelled_keypoints_give_no_gradient():
    predicted = torch.rand(1, 2, 4, 4, requires_grad=True)
    heatmap_loss(predicted, torch.full((1, 2, 4, 4), 7.0), torch.tensor([[0, 1]])).backward()
    assert predicted.grad[0, 0].abs().max() == 0
    assert predicted.grad[0, 1].abs().min() > 0
