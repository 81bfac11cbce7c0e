"""Vector in pixel (plotly): the squash function, and the effect of occlusion on score and loss."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from posenfs.model.vectors import length_for_score, squash_length
from posenfs.viz.figures import layout

_VISIBILITIES = {"visible": 2, "occluded": 1}
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")


def squash_curves(longest: float = 6.0) -> go.Figure:
    """Draw the score (Eq. 5) over the length |v| of a vector, its slope, and marks of Eq. 10.

    Args:
        longest: Greatest length.
    """
    lengths = torch.linspace(0, longest, 241, requires_grad=True)
    scores = squash_length(lengths[:, None], dim=1)
    (slopes,) = torch.autograd.grad(scores.sum(), lengths)
    marks = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
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
        x=length_for_score(marks).tolist(),
        y=marks.tolist(),
        name="length for a score, Eq. 10",
        mode="markers+text",
        marker={"size": 8, "color": "#1A1A1A"},
        text=[f"{score:g}" for score in marks.tolist()],
        textposition="bottom right",
    )
    figure.update_xaxes(title="length |v| before squashing")
    figure.update_yaxes(title="score", range=[0, 1.05])
    return figure


def visibility_boxes(
    results: Mapping[str, tuple[np.ndarray, np.ndarray]],
    visibility: np.ndarray,
    title: str = "Occlusion",
) -> go.Figure:
    """Draw score and loss at visible and occluded keypoints as boxes.

    Boxes are quartiles, whiskers the 10th and 90th percentile; the mean is dashed.

    Args:
        results: Scores and losses [N, K] of each network (see `scores_and_losses`), NaN where
            there is none.
        visibility: The annotated visibility [N, K].
        title: Title of the figure.
    """
    titles = ("score where the keypoint is", "loss of its map (Eq. 6)")
    figure = make_subplots(1, 2, subplot_titles=titles)
    for (name, arrays), colour in zip(results.items(), cycle(_COLOURS), strict=False):
        for column, values in enumerate(arrays, 1):
            groups = [
                values[(visibility == level) & np.isfinite(values)]
                for level in _VISIBILITIES.values()
            ]
            percentiles = [_percentiles(group) for group in groups]
            low, first, middle, third, high = zip(*percentiles, strict=True)
            labels = [
                f"{label}, n = {len(group)}"
                for label, group in zip(_VISIBILITIES, groups, strict=True)
            ]
            figure.add_box(
                x=labels,
                lowerfence=low,
                q1=first,
                median=middle,
                q3=third,
                upperfence=high,
                mean=[group.mean() if len(group) else None for group in groups],
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                marker_color=colour,
                row=1,
                col=column,
            )
    figure.update_layout(layout(title), boxmode="group")
    figure.update_yaxes(rangemode="tozero")
    return figure


def visibility_means(
    results: Mapping[str, tuple[np.ndarray, np.ndarray]], visibility: np.ndarray
) -> str:
    """Return the means of `visibility_boxes` as text, with two differences occluded - visible.

    The first difference is that of the printed means. The second is the mean of the differences
    within each keypoint, which does not confuse hard keypoints with occluded ones.

    Args:
        results: Scores and losses [N, K] of each network by name, NaN where there is none.
        visibility: The annotated visibility [N, K].
    """
    lines = []
    for name, (scores, losses) in results.items():
        for quantity, values in (("score", scores), ("loss", losses)):
            visible = np.where(visibility == _VISIBILITIES["visible"], values, np.nan)
            occluded = np.where(visibility == _VISIBILITIES["occluded"], values, np.nan)
            within_keypoints = [
                _mean(occluded_column) - _mean(visible_column)
                for visible_column, occluded_column in zip(visible.T, occluded.T, strict=True)
            ]
            lines.append(
                f"{name}  {quantity:5}  visible {_mean(visible):6.3f}  "
                f"occluded {_mean(occluded):6.3f}  "
                f"difference {_mean(occluded) - _mean(visible):+.3f}, "
                f"within keypoints {_mean(np.array(within_keypoints)):+.3f}"
            )
    return "\n".join(lines)


def _mean(values: np.ndarray) -> float:
    """Return the mean of the finite values; NaN if there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _percentiles(values: np.ndarray) -> tuple[float | None, ...]:
    """Return the 10th, 25th, 50th, 75th and 90th percentile; None if there are no values."""
    if not len(values):
        return (None,) * 5
    return tuple(np.percentile(values, (10, 25, 50, 75, 90)).tolist())
