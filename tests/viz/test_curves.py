"""Curves of a training have the values of its history."""

import numpy as np
import pytest

from posenfs.body.skeleton import LSP, MPII
from posenfs.evaluation.pck import reported_columns
from posenfs.viz.curves import loss_curve, score_curve


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
    early_stopping = score_curve([{**row, "early_stopping_score": 3.0} for row in history]).data[-1]
    assert early_stopping.name == "early stopping" and list(early_stopping.y) == [3, 3]


@pytest.mark.parametrize("skeleton", [MPII, LSP], ids=str)
def test_every_column_has_a_distinct_colour(skeleton):
    names = [*reported_columns(skeleton), "hard"]
    figure = score_curve(
        [{"step": 1, "pckh@0.5": 1.0, **{f"pckh@0.5/{name}": 2.0 for name in names}}]
    )
    looks = {trace.name: trace.line.color for trace in figure.data}
    assert set(looks) == {*names, "mean"} and len(set(looks.values())) == len(looks)


@pytest.mark.parametrize(
    ("losses", "scale"), [([30.0, 9.0, 1.2], "log"), ([18.0, 16.5, 15.4], None), ([], None)]
)
def test_loss_axis_has_ticks(losses, scale):
    figure = loss_curve([{"step": n, "loss": loss} for n, loss in enumerate(losses)])
    assert figure.layout.yaxis.type == scale and "Eq. 6" in figure.layout.yaxis.title.text
