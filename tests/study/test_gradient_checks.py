"""Tests of the numerical checks of the strategies."""

import torch

from posenfs.search.strategies import FirstOrder, SecondOrder
from posenfs.study.gradient_checks import Smooth, gradient_errors, movements


def test_gradient_errors():
    errors = gradient_errors((0.03, 0.01))
    assert list(errors.columns) == ["ReLU", "softplus"]
    first, coarse, fine = (errors.softplus[way] for way in (
        "first order", "second order, radius 0.03", "second order, radius 0.01"))  # fmt: skip
    assert fine < 1e-3 and fine < coarse / 5 and first > 100 * fine


def test_movements():
    table = movements()
    assert list(table.index) == ["first_order", "second_order"]
    assert (table["alpha, beta"] > 1e-3).all()
    assert (table.drop(columns="alpha, beta") == 0).all(axis=None)


def test_movements_detects_wrong_strategies(monkeypatch):
    """Strategies that change w or the running means are detected."""
    monkeypatch.setattr(
        SecondOrder, "_move", lambda self, *_: [w.data.add_(1e-9) for w in self.weights]
    )
    monkeypatch.setattr(
        FirstOrder, "architecture_gradient", lambda self, f, t, h: self._held_out_gradient(f, t, h)
    )
    table = movements()
    assert table.w["second_order"] > 0 and (table["running means, variances"] > 0).all()


def test_smooth_has_no_kinks():
    x = torch.tensor([-1.0, 0.0, 1.0])
    with Smooth():
        torch.testing.assert_close(torch.nn.ReLU()(x), torch.log1p(x.exp()))
    assert torch.equal(torch.nn.ReLU()(x), x.clamp(min=0))
