"""Errors of predictions (plotly): by threshold, keypoint, occlusion and size; calibration.

Errors [N, K] are distances divided by a person's size, as `evaluate` returns them; NaN where a
keypoint is not labelled.
"""

import math
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from posenfs.data.sample import Annotations
from posenfs.evaluation.pck import pck_curve
from posenfs.evaluation.stats import pck_interval
from posenfs.viz.curves import layout

_COLOURS = ("#222222", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
_BINS = 10
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_DASHED = {"dash": "dash", "color": "#666666"}


def pck_curves(errors: Mapping[str, np.ndarray], most: float = 0.5) -> go.Figure:
    """Draw PCK over its threshold, a line for each model, with the area below in the legend.

    Args:
        errors: Errors [N, K] by name.
        most: Greatest threshold.
    """
    figure = go.Figure(layout=layout("PCK over its threshold"))
    for index, (name, model_errors) in enumerate(errors.items()):
        thresholds, shares, area = pck_curve(model_errors, most)
        line = {"color": _COLOURS[index % len(_COLOURS)], "width": 2}
        name = f"{name}: area {area:.1f} %"
        figure.add_scatter(x=thresholds, y=shares, mode="lines", line=line, name=name)
    figure.update_layout(showlegend=True)
    figure.update_xaxes(title="threshold (share of the person's size)", range=[0, most])
    figure.update_yaxes(title="PCK (%)", range=[0, 100])
    return figure


def errors_by_keypoint(errors: np.ndarray, people: Annotations, threshold: float) -> go.Figure:
    """Draw the errors of every keypoint: quartiles as boxes, whiskers from 5 to 95 %.

    Args:
        errors: Errors [N, K].
        people: The annotated people.
        threshold: Height of the dashed line.
    """
    figure = go.Figure(layout=layout("Errors by keypoint"))
    for index, name in enumerate(people.skeleton.keypoints):
        labelled = errors[np.isfinite(errors[:, index]), index]
        if not len(labelled):
            continue
        low, q1, median, q3, high = np.quantile(labelled, (0.05, 0.25, 0.5, 0.75, 0.95))
        figure.add_box(
            x=[name.replace("_", " ")],
            lowerfence=[low],
            q1=[q1],
            median=[median],
            q3=[q3],
            upperfence=[high],
            marker_color="#0072B2",
            showlegend=False,
            name=name,
        )
    figure.add_hline(threshold, line=_DASHED)
    # On a logarithmic axis the place of an annotation is the logarithm.
    place = {"x": 1, "xref": "paper", "xanchor": "left", "y": math.log10(threshold)}
    text = f" correct<br> ≤ {threshold:g}"
    figure.add_annotation(**place, text=text, align="left", showarrow=False)
    figure.update_yaxes(title="error (share of the person's size)", type="log", tickvals=_TICKS)
    figure.update_layout(margin={"r": 80})
    return figure


def errors_by_group(errors: np.ndarray, people: Annotations, threshold: float) -> go.Figure:
    """Draw PCK by occlusion and by the size of the boxes (thirds), with 95 % intervals.

    Args:
        errors: Errors [N, K].
        people: The annotated people, over whom the intervals are bootstrapped.
        threshold: Threshold of PCK.
    """
    side = people.boxes[:, 2:].max(1)
    thirds = np.quantile(side, (1 / 3, 2 / 3))
    size = np.digitize(side, thirds)
    groups = {
        "visible": np.where(people.visibility == 2, errors, np.nan),
        "occluded": np.where(people.visibility == 1, errors, np.nan),
        f"boxes below {thirds[0]:.0f} px": errors[size == 0],
        f"{thirds[0]:.0f} to {thirds[1]:.0f} px": errors[size == 1],
        f"above {thirds[1]:.0f} px": errors[size == 2],
    }
    labels, intervals = [], []
    for name, group_errors in groups.items():
        count = np.isfinite(group_errors).sum()
        if count:
            labels.append(f"{name}<br>{count} keypoints")
            intervals.append(pck_interval(group_errors, threshold))
    figure = go.Figure(layout=layout(f"PCK at {threshold:g}, by occlusion and by size"))
    figure.add_bar(
        x=labels,
        y=[interval.value for interval in intervals],
        marker_color="#56B4E9",
        error_y={
            "type": "data",
            "array": [interval.high - interval.value for interval in intervals],
            "arrayminus": [interval.value - interval.low for interval in intervals],
            "symmetric": False,
            "color": "#222222",
        },
    )
    figure.update_yaxes(title="PCK (%)", range=[0, 100])
    return figure


def calibration(scores: np.ndarray, errors: np.ndarray, threshold: float) -> go.Figure:
    """Draw the share of correct keypoints over their score, in ten bins of equal count.

    The dashed line shows scores that are probabilities.

    Args:
        scores: Scores [N, K].
        errors: Errors [N, K].
        threshold: Greatest error of a correct keypoint.
    """
    labelled = np.isfinite(errors)
    score, correct = scores[labelled], errors[labelled] <= threshold
    bin_count = min(_BINS, max(len(score), 1))
    bins = np.array_split(np.argsort(score, kind="stable"), bin_count)
    bins = [indices for indices in bins if len(indices)]
    mean_scores = [score[indices].mean() for indices in bins]
    figure = go.Figure(layout=layout("Calibration"))
    figure.add_scatter(
        x=mean_scores,
        y=[100 * correct[indices].mean() for indices in bins],
        mode="lines+markers",
        line={"color": "#222222"},
        text=[f"{len(indices)} keypoints" for indices in bins],
        name="keypoints",
    )
    most = min(max(mean_scores, default=0), 1)
    name = "perfect calibration"
    figure.add_scatter(x=[0, most], y=[0, 100 * most], mode="lines", line=_DASHED, name=name)
    figure.update_layout(showlegend=True)
    title = "score of the peak, mean of each tenth of the keypoints"
    figure.update_xaxes(title=title, rangemode="tozero")
    figure.update_yaxes(title=f"PCK at {threshold:g} (%)", range=[0, 103])
    return figure
