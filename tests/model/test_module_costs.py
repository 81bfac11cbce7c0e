"""The cost of every submodule: sums over children, and the shares of the paper's network."""

import pytest
import torch

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.model.baselines import Branchnet, HRNetPose, SimpleBaseline
from posenfs.model.cost import Cost, measured_cost, module_costs
from posenfs.model.network import PoseNFS
from posenfs.model.operations import Separable
from posenfs.model.pruning import prune
from posenfs.model.space import FabricSpec
from posenfs.model.transfers import Down, Up

WHOLE, THREE = part_scheme(MPII, 1), part_scheme(MPII, 3)


def table_2():
    return PoseNFS(MobileNetV2(), THREE, FabricSpec())


def fabric_on_fabric(hidden_nodes=1):
    spec = FabricSpec(width=2, first=0, last=3, hidden_nodes=hidden_nodes)
    return PoseNFS(FabricBackbone(spec), WHOLE, FabricSpec(width=2, hidden_nodes=hidden_nodes))


def pruned(model):
    """Keep one random operation on each edge and one random source of each cell."""
    torch.manual_seed(1)
    for parameter in model.architecture_parameters():
        torch.nn.init.normal_(parameter)
    return prune(model, "one-hot")


MODELS = {
    "Table II": table_2,
    "fabric on fabric": lambda: fabric_on_fabric(hidden_nodes=2),
    "Table II, exactly pruned": lambda: prune(table_2()),
    "Table II, pruned": lambda: pruned(table_2()),
    "fabric on fabric, pruned": lambda: pruned(fabric_on_fabric()),
    "SimpleBaseline": lambda: SimpleBaseline(WHOLE),
    "HRNet": lambda: HRNetPose(WHOLE),
    "Branchnet": lambda: Branchnet(HRNet(), THREE, 40, 2),
}


@pytest.mark.parametrize("name", MODELS)
def test_parameters_with_a_gradient_are_counted(name):
    model = MODELS[name]().eval().requires_grad_()
    model(torch.randn(1, 3, 64, 64)).sum().backward()
    assert measured_cost(model, 64, 64).params == sum(
        p.numel() for p in model.parameters() if p.grad is not None
    )


@pytest.mark.parametrize("name", MODELS)
def test_parents_are_the_sums_of_their_children(name):
    model = MODELS[name]()
    costs = module_costs(model, 64, 96)
    assert costs[""] == measured_cost(model, 64, 96)
    assert all(cost.params or cost.multiply_adds for cost in costs.values())
    modules = dict(model.named_modules())
    assert [n for n in modules if n in costs] == list(costs)
    for parent, cost in costs.items():
        children = [child for child in costs if child and child.rpartition(".")[0] == parent]
        # alpha and beta, or the weights of a layer
        direct_params = sum(p.numel() for p in modules[parent].parameters(recurse=False))
        # 0: the module runs, but the output does not depend on it, as with stages of a backbone
        # that a pruned head does not read
        assert cost.params - sum(costs[child].params for child in children) in (0, direct_params)
        if children:
            assert cost.multiply_adds == sum(costs[child].multiply_adds for child in children)


def test_cost_of_single_convolutions():
    costs = module_costs(table_2(), 64, 96)
    assert costs["heads.0.entries.2"] == Cost(96 * 160 + 160, 96 * 160 * 4 * 6)
    assert costs["heads.1.fabric.layers.0.0.edges.0.3.depthwise"] == Cost(9 * 40, 9 * 40 * 16 * 24)


def test_module_called_twice_has_twice_the_multiply_adds():
    conv = torch.nn.Conv2d(3, 3, 3, padding=1)
    once = module_costs(torch.nn.Sequential(conv), 8, 8)[""]
    twice = module_costs(torch.nn.Sequential(conv, conv), 8, 8)[""]
    assert twice == Cost(once.params, 2 * once.multiply_adds)


def test_unused_modules_cost_nothing():
    model = fabric_on_fabric()
    model.unused = torch.nn.Conv2d(3, 3, 3)
    costs = module_costs(model, 64, 64)
    assert "unused" not in costs
    assert "heads.0.fabric.layers.0.0.edges.0.0" not in costs  # the zero operation


def test_shares_of_the_table_2_model():
    model = table_2()
    costs = module_costs(model)
    modules = dict(model.named_modules())

    def share(*names):
        return round(100 * sum(costs[n].multiply_adds for n in names) / costs[""].multiply_adds)

    def of(kind):
        return [n for n, module in modules.items() if isinstance(module, kind)]

    separable = [n for n in costs if any(n.startswith(f"{s}.") for s in of(Separable))]
    operations = [n for n in costs if ".edges." in n]
    assert share("backbone") == 27
    assert share(*of(Down)) == 21
    assert share(*(n for n in separable if n.endswith("pointwise"))) == 19
    assert share(*(n for n in operations if n.endswith("pointwise") and n not in separable)) == 9
    assert share(*(n for n in costs if n.endswith("project"))) == 9
    assert share(*of(Up)) == 5
    assert share(*(n for n in costs if n.endswith("entries"))) == 3
    assert share(*(n for n in separable if n.endswith("depthwise"))) == 3
