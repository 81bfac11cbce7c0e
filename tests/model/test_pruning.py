"""Exact pruning changes no score map, for sparse, copied and random weights."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, strategies as st

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.model.network import PoseNFS
from posenfs.model.pruning import check_pruning, prune
from posenfs.model.reference import ReferenceNFS
from posenfs.model.space import PAPER, RELEASED, CellIndex, FabricSpec
from tests.sweeps import examples

NEVER = -300.0  # a logit; three times this has softmax weight exactly 0 beside 0, in float64 too
SIX = ("zero", "skip", "separable_3x3", "dilated_3x3", "avg_pool_3x3", "max_pool_3x3")


def network(spec, parts=1, backbone=None, rules=PAPER, seed=0):
    torch.manual_seed(seed)
    model = PoseNFS(backbone or MobileNetV2(), part_scheme(MPII, parts), spec, 4, rules).eval()
    for name, buffer in model.named_buffers():  # as after training, so that errors are visible
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return model


def set_logits(parameter, keep):
    """Give each of the n kept choices weight 1 / n, and the others exactly 0."""
    with torch.no_grad():
        parameter.copy_(torch.where(torch.as_tensor(keep, dtype=torch.bool), 0.0, NEVER * 3))


def random_keep(shape, generator, share):
    keep = torch.rand(shape, generator=generator) < share
    always = torch.randint(shape[-1], shape[:-1], generator=generator)
    return keep | torch.nn.functional.one_hot(always, shape[-1]).bool()


@examples(fast=5, every=60)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.sampled_from([1, 2, 3]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_exact_zeros_change_nothing(seed, share, hidden, per_cell, fabric_backbone, released):
    generator = torch.Generator().manual_seed(seed)
    rules = replace(RELEASED if released else PAPER, always_entries=bool(seed % 2))
    spec = FabricSpec(width=1, hidden_nodes=hidden, alpha_per_cell=per_cell)
    whole = FabricSpec(
        width=1, hidden_nodes=hidden, first=0, last=3, alpha_per_cell=per_cell, operations=SIX
    )
    model = network(spec, 3, FabricBackbone(whole, rules) if fabric_backbone else None, rules, seed)
    for fabric in model.fabrics().values():
        set_logits(fabric.alpha, random_keep(fabric.alpha.shape, generator, share))
        set_logits(fabric.beta, random_keep(fabric.beta.shape, generator, share))
    images = torch.randn(1, 3, 64, 32, generator=generator)
    proof = check_pruning(model, prune(model), images)
    assert proof.difference <= (1e-6 if proof.narrowed else 0)
    assert (
        proof.after.params <= proof.before.params
        and proof.after.multiply_adds <= proof.before.multiply_adds
    )


def test_equal_weights_lose_only_the_zero_operation():
    model = network(FabricSpec(width=2), 3)
    proof = check_pruning(model, prune(model), torch.randn(2, 3, 64, 64))
    assert proof.difference == 0 and proof.after.multiply_adds == proof.before.multiply_adds
    alpha_and_beta = sum(p.numel() for p in model.architecture_parameters())
    assert proof.before.params - proof.after.params == alpha_and_beta


def test_both_models_keep_their_modes_after_an_error():
    model = network(FabricSpec(width=2)).train()
    pruned = prune(model).train()
    with pytest.raises(ValueError, match="not divisible"):
        check_pruning(model, pruned, torch.randn(1, 3, 60, 60))
    assert model.training and pruned.training


def set_single_sources(beta, cells, slots):
    """Give one slot all the weight in each cell of `slots`; the other cells keep all three."""
    keep = torch.ones(beta.shape, dtype=torch.bool)
    for cell, slot in slots.items():
        keep[cells.index(CellIndex(*cell))] = torch.tensor([n == slot for n in range(3)])
    set_logits(beta, keep)


def test_all_weight_on_a_copied_slot():
    """Row 0 has no finer neighbour: its slot `finer` is a copy of the same scale."""
    spec = FabricSpec(width=2)
    model = network(spec)
    set_single_sources(model.heads[0].fabric.beta, spec.cells, {(5, 0): 0, (4, 0): 0, (3, 0): 0})
    pruned = prune(model)
    assert check_pruning(model, pruned, torch.randn(1, 3, 64, 64)).difference == 0
    kept = pruned.heads[0].fabric.mask.cells
    assert set(kept) == {(3, 0), (4, 0), (5, 0)} and all(k.slots == (0,) for k in kept.values())
    assert [entry is not None for entry in pruned.heads[0].entries] == [True, False, False, False]


def test_all_weight_on_a_copy_in_a_cell_that_opens_a_scale():
    whole = FabricSpec(width=2, first=0, last=3)
    backbone = FabricBackbone(whole)
    set_single_sources(
        backbone.fabric.beta, whole.cells, {(0, 1): 2, (1, 2): 1}
    )  # all the weight on a copy
    model = network(FabricSpec(width=2), backbone=backbone)
    pruned = prune(model)
    assert check_pruning(model, pruned, torch.randn(1, 3, 64, 64)).difference == 0
    kept = pruned.backbone.fabric.mask.cells
    assert kept[CellIndex(0, 1)].slots == (2,) and kept[CellIndex(1, 2)].slots == (1,)


def test_fabric_backbone_keeps_the_rows_that_the_heads_read():
    backbone, spec = FabricBackbone(FabricSpec(width=2, first=0, last=3)), FabricSpec(width=2)
    model = network(spec, 3, backbone)
    for head in model.heads:  # each reads the finest map alone
        set_single_sources(head.fabric.beta, spec.cells, {(5, 0): 1, (4, 0): 1, (3, 0): 1})
    pruned = prune(model)
    proof = check_pruning(model, pruned, torch.randn(1, 3, 64, 64))
    assert proof.difference == 0 and proof.after.params < 0.7 * proof.before.params
    mask = pruned.backbone.fabric.mask
    assert mask.outputs == (0,)
    for head in pruned.heads:  # without entries, the map that is read passes unchanged
        assert [entry is not None for entry in head.entries] == [True, False, False, False]
        assert not list(head.entries.parameters())
    assert CellIndex(2, 0) in mask.cells and CellIndex(2, 2) not in mask.cells


def test_cell_with_only_zero_gives_its_bias():
    spec = FabricSpec(width=2, alpha_per_cell=True)
    model = network(spec)
    keep = torch.ones(spec.alpha_shape, dtype=torch.bool)
    keep[spec.cells.index(CellIndex(4, 0))] = torch.tensor([True, False, False, False])
    set_logits(model.heads[0].fabric.alpha, keep)
    pruned = prune(model)
    assert check_pruning(model, pruned, torch.randn(1, 3, 64, 64)).difference == 0
    assert pruned.heads[0].fabric.mask.cells[CellIndex(4, 0)].slots == ()
    set_logits(
        model.heads[0].fabric.alpha,
        torch.tensor([True, False, False, False]).expand(spec.alpha_shape),
    )
    nothing = prune(model)
    assert check_pruning(model, nothing, torch.randn(1, 3, 64, 64)).difference == 0
    assert not any(nothing.heads[0].entries)


def test_threshold_and_one_hot_equal_a_reference_network():
    spec, images = FabricSpec(width=2, hidden_nodes=2), torch.randn(1, 3, 64, 64)
    model = network(spec, 3)
    plain = ReferenceNFS(MobileNetV2(), model.parts, spec, 4).eval()
    with torch.no_grad():
        for parameter in model.architecture_parameters():
            parameter.normal_(std=2)
        plain.load_state_dict(model.state_dict())
        for fabric in (head.fabric for head in plain.heads):
            for parameter in (fabric.alpha, fabric.beta):
                best = torch.nn.functional.one_hot(parameter.argmax(-1), parameter.shape[-1]).bool()
                set_logits(parameter, best)
        torch.testing.assert_close(
            prune(model, "one-hot")(images), plain(images), rtol=1e-5, atol=1e-6
        )
    proofs = [check_pruning(model, prune(model, "threshold", t), images) for t in (1e-9, 0.02, 0.1)]
    assert proofs[0].difference == 0 < proofs[1].difference < proofs[2].difference
    assert (
        proofs[0].after.multiply_adds
        > proofs[1].after.multiply_adds
        > proofs[2].after.multiply_adds
    )


@examples(fast=1, every=10)
@given(st.integers(0, 10**6))
def test_narrowed_convolutions_in_float64(seed):
    generator = torch.Generator().manual_seed(seed)
    model = network(FabricSpec(width=2, hidden_nodes=3), 3, seed=seed).double()
    for head in model.heads:
        keep = random_keep(head.fabric.alpha.shape, generator, 0.3)
        keep[[1, 2]] = torch.tensor([True, False, False, False])  # nothing reaches the second node
        set_logits(head.fabric.alpha, keep)
    proof = check_pruning(
        model, prune(model), torch.randn(1, 3, 64, 64, generator=generator).double()
    )
    assert proof.narrowed and proof.difference <= 1e-14


def test_float64_and_the_model_is_left_unchanged():
    model = network(FabricSpec(width=2)).double().train()
    set_single_sources(model.heads[0].fabric.beta, model.spec.cells, {(5, 0): 2})
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert check_pruning(model, prune(model), torch.randn(1, 3, 64, 64).double()).difference == 0
    assert model.training and all(
        (tensor == before[name]).all() for name, tensor in model.state_dict().items()
    )
