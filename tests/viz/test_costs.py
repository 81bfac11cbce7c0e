"""Cost figures: the treemap is consistent, and the curve has the cost of every step."""

import numpy as np
import pytest
import torch

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.architecture import Architecture
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.model.cost import Cost, module_costs
from posenfs.model.expected_cost import ExpectedCost
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec
from posenfs.viz.costs import cost_treemap, expected_cost_curve

MODEL = PoseNFS(MobileNetV2(), part_scheme(MPII, 3), FabricSpec(width=2))


def test_treemap_areas_contain_their_children():
    costs = module_costs(MODEL, 64, 64)
    (areas,) = cost_treemap(costs).data
    sizes = dict(zip(areas.ids, areas["values"], strict=True))
    parents = dict(zip(areas.ids, areas.parents, strict=True))
    assert (
        sizes["network"] == costs[""].multiply_adds
        and parents["network"] == ""
        and parents["heads.0"] == "heads"
    )
    assert set(parents.values()) <= {*sizes, ""}
    for name in sizes:
        children = [sizes[child] for child, parent in parents.items() if parent == name]
        assert sum(children) <= sizes[name]


def test_expected_cost_of_every_step():
    spec, cost = MODEL.spec, ExpectedCost(MODEL, 64, 64)
    names = list(MODEL.fabrics())
    start, end = Architecture.zeros(spec), Architecture.random(spec, 2, 3)
    history = {
        n: Architecture(torch.stack([start.alpha, end.alpha]), torch.stack([start.beta, end.beta]))
        for n in names
    }
    figure = expected_cost_curve(np.array([0, 10]), history, cost, Cost(1, 10**9))
    (line,) = figure.data
    assert line.y == pytest.approx(
        [cost(dict.fromkeys(names, a)).item() / 1e9 for a in (start, end)]
    )
    assert list(line.x) == [0, 10] and figure.layout.annotations[0].text == "soft network: 1.000"
