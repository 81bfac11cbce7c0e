"""Checkpoints of fabric backbones in the authors' layout, against a plain reference."""

import numpy as np
import pytest
import torch
from torch import nn

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.reference import ReferenceNFS
from posenfs.model.released import load_released
from posenfs.model.released_tensors import ReleasedError
from posenfs.model.space import RELEASED
from tests.model.released_reference import (
    FABRIC_1,
    NETWORKS,
    PARTS,
    Grid,
    Released,
)


def loaded(path, network):
    return load_released(path, network.head.operations, network.backbone.operations)


@torch.no_grad()
def difference(model, network, state):
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(5))
    expected = network.score_maps(state, images)
    assert expected.std((2, 3)).mean() > 0.003  # the score maps are no constants
    return (model(images) - expected).abs().max().item()


@pytest.mark.parametrize("name", NETWORKS)
def test_output_is_that_of_the_plain_reference(name, tmp_path):
    network, path = NETWORKS[name], tmp_path / "released.pth"
    state = network.random()
    torch.save(state, path)
    model = loaded(path, network)
    assert difference(model, network, state) < 1e-5
    spec = model.spec
    assert (spec.layers, spec.first, spec.width) == (
        network.head.layers,
        network.head.first,
        network.head.width,
    )
    assert {part.name: list(part.keypoints) for part in model.parts} == PARTS[network.parts]
    entries = [entry for head in model.heads for entry in head.entries]
    kind = nn.Conv2d if network.has_entries() else nn.Identity
    assert len(entries) == 4 * len(PARTS[network.parts])
    assert all(isinstance(entry, kind) for entry in entries)
    same_rules = model.heads[0].fabric.rules == RELEASED
    assert same_rules == (name != "entries although the width is the same")


def test_the_oracle_agrees(tmp_path):
    network = NETWORKS["Fabric-1"]
    torch.save(state := network.random(), tmp_path / "released.pth")
    model = loaded(tmp_path / "released.pth", network)
    oracle = ReferenceNFS(model.backbone, model.parts, model.spec, 8, RELEASED).eval()
    oracle.load_state_dict(model.state_dict())
    assert difference(oracle, network, state) < 1e-5


def wrapped(state):
    state = {f"module.{key}": tensor for key, tensor in state.items()} | {
        "module.total_ops": torch.zeros(1),
        "module.backbone.total_params": torch.zeros(1),
    }
    return {"epoch": 200, "best": np.float64(0.87), "optimizer": {"state": {}}, "state_dict": state}


def test_wrapped_checkpoint(tmp_path):
    network = NETWORKS["Fabric-1"]
    state = network.random()
    torch.save(wrapped(state), tmp_path / "released.tar")
    assert difference(loaded(tmp_path / "released.tar", network), network, state) < 1e-5
    torch.save(
        {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
        tmp_path / "half.pth",
    )
    assert difference(loaded(tmp_path / "half.pth", network), network, state) < 0.02


def test_unused_modules_of_the_parts(tmp_path):
    """The parts inherit a stem that is never called."""
    network = NETWORKS["Fabric-1"]
    state = network.random()
    unused = {"head_part.stem.0.weight": torch.zeros(64, 3, 3, 3)}
    torch.save(unused | state, tmp_path / "released.pth")
    assert difference(loaded(tmp_path / "released.pth", network), network, state) < 1e-5


def test_hrnet_with_heads_of_its_channels(tmp_path):
    """HRNet-W32 has 4 x 8 channels in its finest map, so that heads of width 8 have no entries."""
    network = Released(Grid(width=8, operations=("zero", "skip")), parts=1)
    backbone = HRNet().eval()
    state = {f"backbone.{key}": tensor for key, tensor in backbone.state_dict().items()}
    network.add_parts(state, torch.Generator().manual_seed(0))
    torch.save(state, tmp_path / "hrnet.pth")
    model = load_released(tmp_path / "hrnet.pth", ("zero", "skip"))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = network.gathered(state, backbone(images))
        torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("backbone.stem.2.weight"), r"backbone.stem.3.weight stands in the place|is of shape"),
        (lambda s: s.pop("backbone.betas"), "backbone.betas is not there"),
        (lambda s: s.pop("head_part.cell_4_1.channel_keep.bias"), "channel_keep.bias is not there"),
        (
            lambda s: s.update({"backbone.alphas": torch.zeros(2, 6)}),
            "backbone have 2 edges; cells of 2 hidden nodes have 3, or 5 with a second input node",
        ),
        (
            lambda s: s.update({"backbone.alphas": torch.zeros(3, 4)}),
            r"backbone weigh 4 operations, but 6 .*\(--backbone-operations\)",
        ),
        (lambda s: s.update({"backbone.stem.5.weight": torch.zeros(12, 64, 1, 1)}), "of shape"),
        (lambda s: s["backbone.betas"].fill_(torch.inf), "backbone.betas holds numbers that are not"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit(change, message, tmp_path):
    network = NETWORKS["Fabric-1"]
    change(state := network.random())
    torch.save(state, tmp_path / "bad.pth")
    with pytest.raises(ReleasedError, match=message) as error:
        loaded(tmp_path / "bad.pth", network)
    assert "bad.pth" in str(error.value)


def test_sorted_tensors_are_not_mixed_up(tmp_path):
    """The tensors of a backbone are read in their order: a bias never takes a weight's place."""
    network = Released(backbone=FABRIC_1)
    torch.save(dict(sorted(network.random().items())), tmp_path / "sorted.pth")
    with pytest.raises(ReleasedError, match="not in the order of their layers"):
        loaded(tmp_path / "sorted.pth", network)


def test_missing_entries_are_named(tmp_path):
    network = NETWORKS["heads of another width"]
    state = {k: v for k, v in network.random().items() if not k.startswith("reduce.")}
    torch.save(state, tmp_path / "bad.pth")
    with pytest.raises(ReleasedError, match=r"reduce.0.0.weight is not there; expected \(12, 8"):
        loaded(tmp_path / "bad.pth", network)


def test_parts_of_the_reference_are_those_of_posenfs():
    for count, parts in PARTS.items():
        scheme = part_scheme(MPII, count)
        assert {part.name: list(part.keypoints) for part in scheme} == parts
