"""Multiply-adds by module, and expected multiply-adds during a search (plotly)."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from posenfs.model.architecture import Architecture
from posenfs.model.cost import Cost
from posenfs.model.expected_cost import ExpectedCost
from posenfs.viz.figures import layout

_ROOT = "network"


def cost_treemap(
    costs: Mapping[str, Cost], names: Mapping[str, str] | None = None, depth: int = 6
) -> go.Figure:
    """Draw the multiply-adds of every module as areas; a click zooms into a module.

    Args:
        costs: The cost of each module by its dotted name (see `module_costs`).
        names: Printed names of some modules, e.g. {"heads.0": "upper limb"}.
        depth: Greatest number of parts in the name of a drawn module.
    """
    total = costs[""].multiply_adds
    printed_names = {"": _ROOT, **(names or {})}
    shown = {
        name: cost for name, cost in costs.items() if name.count(".") < depth and cost.multiply_adds
    }
    tooltips = [
        f"{name or _ROOT}: {cost} ({cost.multiply_adds / total:.1%})"
        for name, cost in shown.items()
    ]
    multiply_adds = [cost.multiply_adds for cost in shown.values()]
    figure = go.Figure(
        go.Treemap(
            ids=[name or _ROOT for name in shown],
            labels=[printed_names.get(name, name.rpartition(".")[2]) for name in shown],
            parents=[_parent(name, shown) if name else "" for name in shown],
            values=multiply_adds,
            branchvalues="total",
            hovertext=tooltips,
            hoverinfo="text",
            textinfo="label+percent root",
            marker={"colorscale": "Blues", "colors": multiply_adds},
        )
    )
    figure.update_layout(layout("Multiply-adds by module"), height=460)
    return figure


def expected_cost_curve(
    steps: np.ndarray, architectures: Mapping[str, Architecture], cost: ExpectedCost, soft: Cost
) -> go.Figure:
    """Draw the expected multiply-adds by step of a search, and those of the soft network.

    Args:
        steps: The training steps [n].
        architectures: The architectures by fabric name, alpha and beta with a leading [n].
        cost: The expected cost as a function of the architectures.
        soft: The cost of the network with all operations.
    """
    expected = []
    for index in range(len(steps)):
        step_architectures = {
            name: Architecture(history.alpha[index], history.beta[index])
            for name, history in architectures.items()
        }
        expected.append(cost(step_architectures).item() / 1e9)
    title = "Expected multiply-adds of a discrete network drawn from alpha and beta"
    figure = go.Figure(layout=layout(title))
    line = {"color": "#222222", "width": 2}
    figure.add_scatter(x=steps, y=expected, mode="lines", line=line, name="expected")
    line, label = {"dash": "dash", "color": "#666666"}, f"soft network: {soft.gmac:.3f}"
    figure.add_hline(soft.gmac, line=line, annotation_text=label)
    figure.update_yaxes(title="GMAC for one crop", range=[0, 1.1 * max(*expected, soft.gmac)])
    figure.update_xaxes(title="training step")
    return figure


def _parent(name: str, shown: Mapping[str, Cost]) -> str:
    """Return the nearest enclosing module that is drawn."""
    while name:
        name = name.rpartition(".")[0]
        if name in shown:
            return name or _ROOT
    return _ROOT
