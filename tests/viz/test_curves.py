"""Curves of a search have the values of its history."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from posenfs.body.skeleton import LSP, MPII
from posenfs.evaluation.pck import reported_columns
from posenfs.model.architecture import Architecture
from posenfs.model.backbones.fabric import FABRIC_1
from posenfs.model.collapse import CollapseSigns, collapse_warnings
from posenfs.model.space import FabricSpec
from posenfs.viz.curves import alpha_curves, beta_curves, collapse_curves, loss_curve, score_curve


def architectures(spec, steps=5):
    torch.manual_seed(0)
    return {
        name: Architecture(
            torch.randn(steps, *spec.alpha_shape), torch.randn(steps, *spec.beta_shape)
        )
        for name in ("arms_part", "legs_part")
    }


def test_loss_curve_has_every_step_and_a_mean_of_earlier_steps():
    losses = np.random.default_rng(0).random(200)
    history = [{"step": i + 1, "loss": loss} for i, loss in enumerate(losses)] + [
        {"step": 200, "pckh@0.5": 3.0}
    ]
    raw, smooth = loss_curve(history).data
    assert list(raw.y) == list(losses)
    for i in (0, 3, 77, 199):
        assert smooth.y[i] == pytest.approx(losses[max(i - 4, 0) : i + 1].mean())


def test_score_curve_has_every_column():
    history = [
        {"step": s, "pckh@0.5": 10.0 * s, "pckh@0.5/head": 5.0 * s, "pckh@0.5/knee": None}
        for s in (1, 2)
    ]
    figure = score_curve(history, mean_pose=7)
    assert {trace.name: list(trace.y) for trace in figure.data} == {
        "head": [5, 10],
        "mean": [10, 20],
    }
    assert figure.layout.shapes[0].y0 == 7
    early_stopping = score_curve([{**row, "judged": 3.0} for row in history]).data[-1]
    assert early_stopping.name == "early stopping" and list(early_stopping.y) == [3, 3]


@pytest.mark.parametrize("skeleton", [MPII, LSP], ids=str)
def test_every_column_has_a_distinct_colour(skeleton):
    names = [*reported_columns(skeleton), "hard"]
    figure = score_curve(
        [{"step": 1, "pckh@0.5": 1.0, **{f"pckh@0.5/{name}": 2.0 for name in names}}]
    )
    looks = {trace.name: trace.line.color for trace in figure.data}
    assert set(looks) == {*names, "mean"} and len(set(looks.values())) == len(looks)


def test_warning_weight_is_a_labelled_line():
    sign = CollapseSigns(0.5, 0.3, 0.9, 0.9, 9.0)
    (line,) = (
        figure := collapse_curves([{"step": 1, "architecture": {"head": asdict(sign)}}])
    ).layout.shapes
    assert not collapse_warnings({"head": replace(sign, zero=line.y0 - 0.31)})
    assert (
        collapse_warnings({"head": replace(sign, zero=line.y0 - 0.29)})
        and line.yref == "y"
        and line.y0 == line.y1
    )
    assert "warning above 0.9" in [note.text for note in figure.layout.annotations]


def test_collapse_curves_by_fabric():
    signs = [CollapseSigns(0.1 * n, 0.2, 0.9 - 0.1 * n, 0.5, 9.0 - n) for n in range(3)]
    rows = [
        {"step": n, "architecture": {"arms_part": asdict(sign), "backbone": asdict(sign)}}
        for n, sign in enumerate(signs)
    ]
    figure = collapse_curves([{"step": 0, "loss": 1.0}, *rows])
    arms = [trace for trace in figure.data if trace.name == "arms"]
    assert [list(trace.x) for trace in arms] == [[0, 1, 2]] * 4
    assert list(arms[0].y) == pytest.approx([0.2, 0.3, 0.4]) and list(arms[3].y) == [9, 8, 7]
    assert (
        list(arms[1].y) == pytest.approx([0.9, 0.8, 0.7])
        and sum(bool(t.showlegend) for t in figure.data) == 2
    )
    assert not collapse_curves([]).data


@pytest.mark.parametrize(
    "spec", [FabricSpec(), FabricSpec(hidden_nodes=2), FabricSpec(alpha_per_cell=True)]
)
def test_alpha_curves_have_the_softmax(spec):
    fabrics, steps = architectures(spec), np.arange(5)
    figure = alpha_curves(steps, fabrics, spec)
    assert len(figure.data) == 2 * len(spec.edges) * 4
    weights = np.exp(fabrics["legs_part"].alpha.numpy())
    weights /= weights.sum(-1, keepdims=True)
    if spec.alpha_per_cell:
        weights = weights.mean(1)
    last = figure.data[-1]
    assert last.name == "dilated_3x3"
    np.testing.assert_allclose(last.y, weights[:, -1, -1], rtol=1e-5)


def test_curves_of_a_fabric_backbone():
    specs = {"backbone": FABRIC_1, "legs_part": FabricSpec()}
    fabrics = {
        "backbone": architectures(FABRIC_1)["arms_part"],
        "legs_part": architectures(FabricSpec())["legs_part"],
    }
    assert len(alpha_curves(np.arange(5), fabrics, specs).data) == 3 * 6 + 4
    curves = [
        trace for trace in beta_curves(np.arange(5), fabrics, specs).data if trace.x[0] is not None
    ]
    assert len(curves) == 3 * (9 + 6)
    with pytest.raises(
        ValueError,
        match=r"alpha of fabric 'backbone' is \[n, …\] of \[3, 6\]; its spec needs \[1, 4\]",
    ):
        alpha_curves(np.arange(5), fabrics, FabricSpec())


def test_beta_curves_have_every_cell_and_source():
    spec = FabricSpec()
    fabrics = architectures(spec)
    figure = beta_curves(np.arange(5), fabrics, spec)
    curves = [trace for trace in figure.data if trace.x[0] is not None]
    assert len(curves) == 2 * 6 * 3
    weights = fabrics["arms_part"].beta.softmax(-1).numpy()
    for number in range(6):
        for source in range(3):
            np.testing.assert_allclose(
                curves[3 * number + source].y, weights[:, number, source], rtol=1e-5
            )


@pytest.mark.parametrize(
    ("losses", "scale"), [([30.0, 9.0, 1.2], "log"), ([18.0, 16.5, 15.4], None), ([], None)]
)
def test_loss_axis_has_ticks(losses, scale):
    figure = loss_curve([{"step": n, "loss": loss} for n, loss in enumerate(losses)])
    assert figure.layout.yaxis.type == scale and "Eq. 6" in figure.layout.yaxis.title.text
