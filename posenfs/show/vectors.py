"""Vector in pixel (plotly): the squash function, and what occlusion does to score and loss."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from posenfs.model.vectors import length_for_score, squash_length
from posenfs.show.curves import layout

_GROUPS = {"visible": 2, "occluded": 1}
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")


def squash_curves(longest: float = 6.0) -> go.Figure:
    """Eq. 5 over the length |v| of a vector, with its slope; dots at the lengths of Eq. 10 for some scores."""
    lengths = torch.linspace(0, longest, 241, requires_grad=True)
    scores = squash_length(lengths[:, None], dim=1)
    (slopes,) = torch.autograd.grad(scores.sum(), lengths)
    marked = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
    figure = go.Figure(layout=layout("The score of a vector: its squashed length"))
    figure.add_scatter(
        x=lengths.tolist(),
        y=scores.tolist(),
        name="score |v|²/(1+|v|²), Eq. 5",
        line={"color": "#0072B2"},
    )
    figure.add_scatter(
        x=lengths.tolist(),
        y=slopes.tolist(),
        name="its slope",
        line={"color": "#E69F00", "dash": "dash"},
    )
    figure.add_scatter(
        x=length_for_score(marked).tolist(), y=marked.tolist(), name="length for a score, Eq. 10", mode="markers+text",
        marker={"size": 8, "color": "#1A1A1A"}, text=[f"{score:g}" for score in marked.tolist()],
        textposition="bottom right",
    )  # fmt: skip
    figure.update_xaxes(title="length |v| before squashing")
    figure.update_yaxes(title="score", range=[0, 1.05])
    return figure


def visibility_boxes(
    found: Mapping[str, tuple[np.ndarray, np.ndarray]],
    visibility: np.ndarray,
    title: str = "Occlusion",
) -> go.Figure:
    """Score and loss at visible and at occluded keypoints: quartiles, tenths as whiskers, and the mean dashed.

    `found` holds scores and losses [N, K] of each network by name (`at_keypoints`), NaN where there is none;
    visibility [N, K] is the annotators'.
    """
    figure = make_subplots(
        1, 2, subplot_titles=("score where the keypoint is", "loss of its map (Eq. 6)")
    )
    for (name, values), colour in zip(found.items(), cycle(_COLOURS), strict=False):
        for column, value in enumerate(values, 1):
            groups = [
                value[(visibility == level) & np.isfinite(value)] for level in _GROUPS.values()
            ]
            low, first, middle, third, high = zip(
                *(_tenths(group) for group in groups), strict=True
            )
            figure.add_box(
                x=[f"{word}, n = {len(group)}" for word, group in zip(_GROUPS, groups, strict=True)],
                lowerfence=low, q1=first, median=middle, q3=third, upperfence=high,
                mean=[group.mean() if len(group) else None for group in groups],
                name=name, legendgroup=name, showlegend=column == 1, marker_color=colour, row=1, col=column,
            )  # fmt: skip
    figure.update_layout(layout(title), boxmode="group")
    figure.update_yaxes(rangemode="tozero")
    return figure


def visibility_means(
    found: Mapping[str, tuple[np.ndarray, np.ndarray]], visibility: np.ndarray
) -> str:
    """The means of `visibility_boxes` as lines of text, with two differences of occluded from visible: that of these
    means, and the mean of those taken keypoint by keypoint, which mistakes no hard keypoint for a hidden one."""
    lines = []
    for name, (scores, losses) in found.items():
        for what, values in (("score", scores), ("loss", losses)):
            seen, hidden = (
                np.where(visibility == level, values, np.nan) for level in _GROUPS.values()
            )
            apart = [_mean(h) - _mean(s) for s, h in zip(seen.T, hidden.T, strict=True)]
            lines.append(
                f"{name}  {what:5}  visible {_mean(seen):6.3f}  occluded {_mean(hidden):6.3f}  "
                f"difference {_mean(hidden) - _mean(seen):+.3f}, within keypoints {_mean(np.array(apart)):+.3f}"
            )
    return "\n".join(lines)


def _mean(values: np.ndarray) -> float:
    """Of the finite ones; NaN of none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _tenths(values: np.ndarray) -> tuple[float | None, ...]:
    """The 10th, 25th, 50th, 75th and 90th percentile; None of nothing."""
    return (
        tuple(np.percentile(values, (10, 25, 50, 75, 90)).tolist()) if len(values) else (None,) * 5
    )
