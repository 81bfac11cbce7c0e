"""Equations 1, 2, 3 and the grid, each computed in another way."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from posenfs.model.backbones.fabric import FABRIC_1
from posenfs.model.fabric import Cell, Fabric, fuse_scales, mix_operations
from posenfs.model.operations import OPERATIONS, DilatedDepthwise, Zero
from posenfs.model.space import PAPER, RELEASED, CellIndex, FabricSpec
from posenfs.model.transfers import Down, Same, Up


def plain(operation: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Compute o(x) by torch's layers without a folded weight: the definition of each operation."""

    def norm(y):
        return F.batch_norm(y, None, None, training=True)

    def block(b, y):
        c = y.shape[1]
        y = F.conv2d(
            y,
            b.depthwise.weight,
            padding=b.depthwise.padding,
            dilation=b.depthwise.dilation,
            groups=c,
        )
        return norm(F.conv2d(y, b.pointwise.weight)).relu()

    match type(operation).__name__:
        case "Zero":
            return torch.zeros_like(x)
        case "Skip":
            return x
        case "DepthwiseSeparable":
            return block(operation, x)
        case "Separable":
            return block(operation.second, block(operation.first, x))
        case "Pool":
            patches = F.unfold(F.pad(x, (1, 1, 1, 1), value=float("nan")), 3).unflatten(
                1, (x.shape[1], 9)
            )
            if isinstance(operation.pool, nn.AvgPool2d):
                pooled = patches.nanmean(2)
            else:
                pooled = patches.nan_to_num(-1e9).amax(2)
            return norm(pooled.unflatten(2, x.shape[2:]))
    raise AssertionError(f"define here what {operation} computes")


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_is_scaled_by_its_weight(name):
    operation, x = OPERATIONS[name](4).double(), torch.randn(3, 4, 6, 5, dtype=torch.double)
    weight = torch.tensor(0.3, dtype=torch.double, requires_grad=True)
    scaled, expected = operation(x, weight), plain(operation, x)
    if name != "zero":  # an operation that is never run
        torch.testing.assert_close(scaled, 0.3 * expected)
        scaled.square().sum().backward()
        torch.testing.assert_close(weight.grad, 2 * 0.3 * expected.square().sum())


def test_eq_1_is_the_weighted_sum():
    operations = [make(4).double() for make in OPERATIONS.values()]
    x, alpha = (
        torch.randn(2, 4, 8, 8, dtype=torch.double),
        torch.randn(len(operations), dtype=torch.double),
    )
    weights = alpha.exp() / alpha.exp().sum()
    expected = torch.stack([w * plain(o, x) for o, w in zip(operations, weights, strict=True)]).sum(
        0
    )
    torch.testing.assert_close(mix_operations(x, operations, weights.unbind()), expected)


def test_eq_1_with_only_zero_is_zero():
    x = torch.randn(1, 4, 8, 8)
    assert mix_operations(x, [Zero()], [torch.ones(())]).equal(torch.zeros_like(x))


def test_eq_2_by_plain_torch_layers():
    down, up = Down(4, 8, relu=True).double().eval(), Up(16, 8, align_corners=True).double().eval()
    for norm in (down.norm, up.norm):
        nn.init.normal_(norm.weight)  # of either sign: the folded weight must not rely on it
        nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
    maps = [torch.randn(2, c, s, s, dtype=torch.double) for c, s in ((4, 16), (8, 8), (16, 4))]
    weights = torch.tensor([0.5, 0.2, 0.3], dtype=torch.double)

    def norm(layer, y):
        return F.batch_norm(y, layer.running_mean, layer.running_var, layer.weight, layer.bias)

    finer = norm(
        down.norm, F.conv2d(maps[0], down.conv.weight, down.conv.bias, stride=2, padding=1)
    ).relu()
    coarser = norm(up.norm, F.conv2d(maps[2], up.conv.weight, up.conv.bias))
    coarser = F.interpolate(coarser, size=(8, 8), mode="bilinear", align_corners=True)
    torch.testing.assert_close(
        fuse_scales(maps, [down, Same(), up], weights.unbind()),
        0.5 * finer + 0.2 * maps[1] + 0.3 * coarser,
    )


@pytest.mark.parametrize("hidden", [1, 2, 3])
@pytest.mark.parametrize("rules", [PAPER, RELEASED], ids=["paper", "released"])
def test_eq_3_cell_by_a_matrix_of_edges(hidden, rules):
    spec = FabricSpec(width=1, hidden_nodes=hidden)
    cell = Cell(spec, CellIndex(4, 1), rules).double()
    maps = [torch.randn(2, c, s, s, dtype=torch.double) for c, s in ((4, 16), (8, 8), (16, 4))]
    alpha, beta = (
        torch.rand(*spec.alpha_shape, dtype=torch.double),
        torch.rand(3, dtype=torch.double),
    )
    x = fuse_scales(maps, cell.transfers, beta.unbind())
    node = {0: x.relu() if rules.relu_after_fusion else x}
    edge_of = {edge: i for i, edge in enumerate(spec.edges)}
    for end in range(1, hidden + 1):
        node[end] = sum(
            w * plain(o, node[start])
            for start in range(end)
            for o, w in zip(
                cell.edges[edge_of[start, end]], alpha[edge_of[start, end]], strict=True
            )
        )
    hidden_nodes = torch.cat([node[i] for i in range(1, hidden + 1)], 1)
    expected = torch.einsum("oi,bihw->bohw", cell.project.weight[:, :, 0, 0], hidden_nodes)
    expected = expected + cell.project.bias[:, None, None]
    torch.testing.assert_close(cell(maps, [a.unbind() for a in alpha], beta.unbind()), expected)


@pytest.mark.parametrize(
    ("row", "before", "expected"),
    [
        (0, 4, (0, 0, 1)),  # top row: the finer neighbour is a copy of the same scale
        (1, 4, (0, 1, 2)),
        (2, 3, (1, 2, 2)),  # nothing coarser below: a copy of the same scale
        (0, 1, (0, 0, 0)),  # the stem, three times
        (1, 1, (0, 0, 0)),  # a new scale opens: three copies of the finer one
        (3, 3, (2, 2, 2)),
    ],
)
def test_missing_sources_are_copies(row, before, expected):
    assert FabricSpec.sources(row, before) == expected


def test_sources_are_neighbours_of_their_cell():
    for spec in (FabricSpec(), FABRIC_1, FabricSpec(layers=8, first=0)):
        for before, cells in itertools.pairwise([[None] * spec.input_rows, *spec.grid()]):
            for cell in cells:
                for source in spec.sources(cell.row, len(before)):
                    assert abs(source - cell.row) <= 1
                    assert 0 <= source < len(before)


def test_one_hot_fabric_is_a_chain_of_projections():
    """With beta on one source and alpha on skip, the fabric is a chain of 1x1 projections."""
    torch.manual_seed(0)
    spec = FabricSpec(width=1)
    fabric = Fabric(spec).double()
    pyramid = [
        torch.randn(1, spec.channels(r), 32 // 2**r, 32 // 2**r, dtype=torch.double)
        for r in range(4)
    ]
    with torch.no_grad():
        fabric.alpha[:, spec.operations.index("skip")] = 1000
        fabric.beta[:, 1] = 1000  # same scale only
        x = pyramid[0]
        for layer in fabric.layers:
            x = layer[0].project(x)
        torch.testing.assert_close(fabric(pyramid)[0], x)


def test_alpha_per_cell_equals_shared_alpha_when_rows_agree():
    torch.manual_seed(0)
    shared = Fabric(FabricSpec(width=1))
    per_cell = Fabric(FabricSpec(width=1, alpha_per_cell=True))
    state = shared.state_dict()
    state["alpha"] = torch.randn(1, 4)
    shared.load_state_dict(state)
    per_cell.load_state_dict({**state, "alpha": state["alpha"].expand(6, 1, 4)})
    pyramid = [torch.randn(2, 4 * 2**r, 16 // 2**r, 16 // 2**r) for r in range(4)]
    assert shared(pyramid)[0].equal(per_cell(pyramid)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first": 6}, "layers 6 to None"),
        ({"width": 0}, "at least 1"),
        ({"strides": (4, 16)}, "twice"),
        ({"operations": ()}, "at least one"),
    ],
)
def test_impossible_fabrics_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FabricSpec(**change)


def test_unknown_operation_is_refused():
    with pytest.raises(ValueError, match=r"'conv_9x9'.*separable_3x3"):
        Fabric(FabricSpec(operations=("conv_9x9",)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dilated_convolution_has_the_standard_gradient(layout):
    x = torch.randn(2, 5, 6, 8, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    weight = torch.randn(5, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    output = DilatedDepthwise.apply(x, weight)
    expected = F.conv2d(x, weight, padding=2, dilation=2, groups=5)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    gradient = torch.randn_like(expected)
    for inputs in ((x, weight), (x,), (weight,)):
        gradients = torch.autograd.grad(output, inputs, gradient, retain_graph=True)
        expected_gradients = torch.autograd.grad(expected, inputs, gradient, retain_graph=True)
        torch.testing.assert_close(gradients, expected_gradients, rtol=1e-12, atol=1e-12)
