"""Where the multiply-adds of a network go, and how the expected ones move during a search (plotly)."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from posenfs.model.architecture import Architecture
from posenfs.model.cost import Cost
from posenfs.model.expected_cost import ExpectedCost
from posenfs.show.curves import layout


def cost_treemap(
    costs: Mapping[str, Cost], names: Mapping[str, str] | None = None, depth: int = 6
) -> go.Figure:
    """Multiply-adds of every module (from `module_costs`), each area a share of the whole, `depth` names deep; click to
    go into one. `names` are words for some of the modules, e.g. {"heads.0": "upper limb"}."""
    whole, names = costs[""], {"": "network", **(names or {})}
    shown = {
        name: cost for name, cost in costs.items() if name.count(".") < depth and cost.multiply_adds
    }
    labels = [names.get(name, name.rpartition(".")[2]) for name in shown]
    words = [
        f"{name or 'network'}: {c} ({c.multiply_adds / whole.multiply_adds:.1%})"
        for name, c in shown.items()
    ]
    figure = go.Figure(
        go.Treemap(
            ids=[name or "network" for name in shown],
            labels=labels,
            parents=[_parent(name, shown) if name else "" for name in shown],
            values=[cost.multiply_adds for cost in shown.values()],
            branchvalues="total",
            hovertext=words,
            hoverinfo="text",
            textinfo="label+percent root",
            marker={"colorscale": "Blues", "colors": [c.multiply_adds for c in shown.values()]},
        )
    )
    figure.update_layout(layout("Multiply-adds by module"), height=460)
    return figure


def expected_cost_curve(
    steps: np.ndarray, architectures: Mapping[str, Architecture], cost: ExpectedCost, soft: Cost
) -> go.Figure:
    """Expected multiply-adds by step of a search (alpha and beta carry a leading [n]), beside those that the soft
    network really takes."""
    expected = [
        cost(
            {name: Architecture(a.alpha[n], a.beta[n]) for name, a in architectures.items()}
        ).item()
        / 1e9
        for n in range(len(steps))
    ]
    figure = go.Figure(
        layout=layout("Expected multiply-adds of a discrete network drawn from alpha and beta")
    )
    figure.add_scatter(
        x=steps, y=expected, mode="lines", line={"color": "#222222", "width": 2}, name="expected"
    )
    words = f"soft network: {soft.gmac:.3f}"
    figure.add_hline(soft.gmac, line={"dash": "dash", "color": "#666666"}, annotation_text=words)
    figure.update_yaxes(title="GMAC for one crop", range=[0, 1.1 * max(*expected, soft.gmac)])
    figure.update_xaxes(title="training step")
    return figure


def _parent(name: str, shown: Mapping[str, Cost]) -> str:
    """The nearest module around one that is shown itself."""
    while name:
        name = name.rpartition(".")[0]
        if name in shown:
            return name or "network"
    return "network"
