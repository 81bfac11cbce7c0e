"""Errors of predictions (plotly): by threshold, by keypoint, by size and occlusion, and what scores say about them.

Errors [N, K] are distances divided by a person's size, as `evaluate` gives them; NaN where nothing is labelled.
"""

import math
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from posenfs.data.sample import People
from posenfs.evaluation.metrics import pck_curve
from posenfs.evaluation.stats import Interval, pck_interval
from posenfs.show.curves import layout

_COLOURS = ("#222222", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
_BINS = 10
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


def pck_curves(errors: Mapping[str, np.ndarray], most: float = 0.5) -> go.Figure:
    """PCK over its threshold, a line for each {name: errors}, with the area below in the legend."""
    figure = go.Figure(layout=layout("Keypoints right at every threshold"))
    for number, (name, own) in enumerate(errors.items()):
        thresholds, shares, area = pck_curve(own, most)
        line = {"color": _COLOURS[number % len(_COLOURS)], "width": 2}
        figure.add_scatter(
            x=thresholds, y=shares, mode="lines", line=line, name=f"{name}: area {area:.1f} %"
        )
    figure.update_layout(showlegend=True)
    figure.update_xaxes(title="threshold (share of the person's size)", range=[0, most])
    figure.update_yaxes(title="right (%)", range=[0, 100])
    return figure


def errors_by_keypoint(errors: np.ndarray, people: People, threshold: float) -> go.Figure:
    """The spread of errors of every keypoint: quartiles as boxes, whiskers from 5 to 95 %; a line at the threshold."""
    figure = go.Figure(layout=layout("Errors by keypoint"))
    for k, name in enumerate(people.skeleton.keypoints):
        own = errors[np.isfinite(errors[:, k]), k]
        if not len(own):
            continue
        low, q1, median, q3, high = np.quantile(own, (0.05, 0.25, 0.5, 0.75, 0.95))
        figure.add_box(
            x=[name.replace("_", " ")], lowerfence=[low], q1=[q1], median=[median], q3=[q3], upperfence=[high],
            marker_color="#0072B2", showlegend=False, name=name,
        )  # fmt: skip
    figure.add_hline(threshold, line={"dash": "dash", "color": "#666666"})
    # an annotation's place on a logarithmic axis is the logarithm
    place = {"x": 1, "xref": "paper", "xanchor": "left", "y": math.log10(threshold)}
    figure.add_annotation(
        **place, text=f" right up<br> to {threshold:g}", align="left", showarrow=False
    )
    figure.update_yaxes(title="error (share of the person's size)", type="log", tickvals=_TICKS)
    figure.update_layout(margin={"r": 80})
    return figure


def errors_by_group(errors: np.ndarray, people: People, threshold: float) -> go.Figure:
    """PCK of visible and of occluded keypoints, and of small, middle and large boxes (thirds), with 95 % intervals over
    people."""
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
    found: dict[str, Interval] = {
        f"{name}<br>{np.isfinite(own).sum()} keypoints": pck_interval(own, threshold)
        for name, own in groups.items()
        if np.isfinite(own).any()
    }
    figure = go.Figure(layout=layout(f"Right at {threshold:g}, by occlusion and by size"))
    values = list(found.values())
    up, down = [i.high - i.value for i in values], [i.value - i.low for i in values]
    figure.add_bar(
        x=list(found), y=[i.value for i in values], marker_color="#56B4E9",
        error_y={"type": "data", "array": up, "arrayminus": down, "symmetric": False, "color": "#222222"},
    )  # fmt: skip
    figure.update_yaxes(title="right (%)", range=[0, 100])
    return figure


def calibration(scores: np.ndarray, errors: np.ndarray, threshold: float) -> go.Figure:
    """Share of keypoints that are right among those of about one score [N, K]: ten bins of as many keypoints each;
    dashed what it would be if scores were probabilities."""
    judged = np.isfinite(errors)
    score, right = scores[judged], errors[judged] <= threshold
    order = np.array_split(np.argsort(score, kind="stable"), min(_BINS, max(len(score), 1)))
    bins = [own for own in order if len(own)]
    figure = go.Figure(layout=layout("What a score says"))
    figure.add_scatter(
        x=[score[own].mean() for own in bins], y=[100 * right[own].mean() for own in bins], mode="lines+markers",
        line={"color": "#222222"}, text=[f"{len(own)} keypoints" for own in bins], name="keypoints",
    )  # fmt: skip
    most = min(max((score[own].mean() for own in bins), default=0), 1)
    dashes = {"color": "#666666", "dash": "dash"}
    figure.add_scatter(
        x=[0, most], y=[0, 100 * most], mode="lines", line=dashes, name="if it were a probability"
    )
    figure.update_layout(showlegend=True)
    figure.update_xaxes(
        title="score of the peak, mean of each tenth of the keypoints", rangemode="tozero"
    )
    figure.update_yaxes(title=f"right at {threshold:g} (%)", range=[0, 103])
    return figure
