"""PoseNFS equals the reference: forward pass and every gradient, for several rules and specs."""

import pytest
import torch

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.model.fabric import Fabric
from posenfs.model.network import PoseNFS
from posenfs.model.operations import OPERATIONS
from posenfs.model.reference import ReferenceFabric, ReferenceNFS
from posenfs.model.space import PAPER, RELEASED, FabricSpec, Rules

BACKBONE = FabricSpec(width=2, first=0, last=3)
CASES = {  # P, the heads, d, rules, and the fabric of the backbone
    "table II": (3, FabricSpec(width=2), 8, PAPER),
    "released": (3, FabricSpec(width=2), 8, RELEASED),
    "P = 8, H = 2": (8, FabricSpec(width=2, hidden_nodes=2), 4, PAPER),
    "H = 3, alpha per cell": (
        1,
        FabricSpec(width=2, hidden_nodes=3, alpha_per_cell=True),
        8,
        RELEASED,
    ),
    "fabric backbone": (3, FabricSpec(width=2), 8, RELEASED, BACKBONE),
    "fabric backbone, entries": (1, FabricSpec(width=2), 8, Rules(always_entries=True), BACKBONE),
    "six operations, d = 1": (5, FabricSpec(width=2, operations=tuple(OPERATIONS)), 1, PAPER),
}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("case", CASES)
def test_forward_and_gradients(case, training):
    parts, spec, vector_dim, rules, *fabric = CASES[case]
    torch.manual_seed(0)
    scheme = part_scheme(MPII, parts)
    fast, plain = (
        network(
            FabricBackbone(*fabric, rules) if fabric else MobileNetV2(),
            scheme,
            spec,
            vector_dim,
            rules,
        ).double()
        for network in (PoseNFS, ReferenceNFS)
    )
    with torch.no_grad():
        for parameter in fast.architecture_parameters():
            parameter.normal_()
        for name, buffer in fast.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.uniform_(0.5, 1.5)
    plain.load_state_dict(fast.state_dict())
    images = torch.randn(2, 3, 64, 96).double()
    outputs = [network.train(training)(images) for network in (fast, plain)]
    torch.testing.assert_close(*outputs, rtol=1e-9, atol=1e-12)
    weights = torch.randn_like(outputs[0])
    for output in outputs:
        (output * weights).sum().backward()
    gradients = {name: p.grad for name, p in plain.named_parameters()}
    for name, parameter in fast.named_parameters():
        expected = gradients[name]
        scale = expected.abs().max().clamp(min=1e-3)
        torch.testing.assert_close(
            parameter.grad / scale, expected / scale, rtol=0, atol=1e-7, msg=name
        )
    expected_state = plain.state_dict()
    assert list(fast.state_dict()) == list(expected_state)
    for name, tensor in fast.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(
                tensor, expected_state[name], rtol=1e-9, atol=1e-12, msg=name
            )


def test_fabric_backbone():
    spec = FabricSpec(width=2, hidden_nodes=2, operations=tuple(OPERATIONS), first=0, last=3)
    torch.manual_seed(0)
    fast, plain = FabricBackbone(spec).fabric.double().eval(), ReferenceFabric(spec).double().eval()
    assert isinstance(fast, Fabric)
    with torch.no_grad():
        fast.alpha.normal_()
        fast.beta.normal_()
    plain.load_state_dict(fast.state_dict())
    stem = [torch.randn(1, 8, 32, 32).double()]
    for output, expected in zip(fast(stem), plain(stem), strict=True):
        torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-12)
