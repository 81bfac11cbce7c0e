"""The whole network: score maps, parameters, sizes, and weights of its backbone from a file."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import LSP, MPII
from posenfs.model.architecture import Architecture
from posenfs.model.backbones import BACKBONES
from posenfs.model.backbones.fabric import FABRIC_1, FabricBackbone
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.torchvision_backbones import MobileNetV2, ResNet50
from posenfs.model.network import PoseNFS
from posenfs.model.space import PAPER, RELEASED, FabricSpec
from posenfs.model.vectors import squash_length


def small(parts=3, skeleton=MPII, backbone=None, **kwargs):
    torch.manual_seed(0)
    return PoseNFS(
        backbone or MobileNetV2(), part_scheme(skeleton, parts), FabricSpec(width=2), **kwargs
    )


@pytest.mark.parametrize("parts", [1, 3, 5, 8])
@pytest.mark.parametrize("vector_dim", [1, 8])
def test_score_maps_and_their_range(parts, vector_dim):
    model = small(parts, vector_dim=vector_dim)
    maps = model(torch.randn(2, 3, 64, 96))
    assert maps.shape == (2, 16, 16, 24)
    if vector_dim > 1:
        shared = torch.tensor([sum(k in part.keypoints for part in model.parts) for k in range(16)])
        assert (maps >= 0).all() and (maps < shared[:, None, None]).all()


def test_network_equals_its_parts_computed_one_by_one():
    model = small(8, LSP).eval()
    images = torch.randn(1, 3, 64, 64)
    pyramid = model.backbone(images)
    maps = torch.zeros(1, 14, 16, 16)
    for part, head in zip(model.parts, model.heads, strict=True):
        maps_in = [
            torch.einsum("oi,bihw->bohw", e.weight[:, :, 0, 0], x) + e.bias[:, None, None]
            for e, x in zip(head.entries, pyramid, strict=True)
        ]
        finest = head.fabric(maps_in)[0].relu()
        channels = nn.functional.conv2d(finest, head.vectors.weight, head.vectors.bias)
        for j, k in enumerate(part.keypoints):
            maps[:, k] += squash_length(channels[:, 8 * j : 8 * j + 8], dim=1)
    torch.testing.assert_close(model(images), maps)


def test_every_parameter_is_a_weight_or_architecture_and_has_a_gradient():
    model = small(backbone=FabricBackbone(FABRIC_1, PAPER))
    weights, architecture = model.weight_parameters(), model.architecture_parameters()
    assert len(weights) + len(architecture) == len(list(model.parameters()))
    assert list(model.architectures()) == [
        "backbone",
        "upper_limb_part",
        "head_part",
        "lower_limb_part",
    ]
    model(torch.randn(2, 3, 64, 64)).square().sum().backward()
    for parameter in architecture:
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() > 0
        torch.testing.assert_close(
            parameter.grad.sum(-1), torch.zeros(parameter.shape[:-1]), atol=2e-3, rtol=0
        )


def test_channels_last_changes_nothing():
    model, images = small().double().eval(), torch.randn(1, 3, 64, 64, dtype=torch.double)
    expected = model(images)
    model = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(images.to(memory_format=torch.channels_last)), expected)


@pytest.mark.parametrize(
    ("height", "width", "nearest"), [(100, 128, "96 x 128"), (64, 65, "64 x 64")]
)
def test_image_sizes_that_do_not_fit_the_stride_are_refused(height, width, nearest):
    with pytest.raises(ValueError, match=rf"{height} x {width} px.*32.*{nearest}"):
        small()(torch.zeros(1, 3, height, width))


def test_a_head_that_does_not_fit_the_pyramid_is_refused():
    with pytest.raises(ValueError, match="reads 1 maps got 4"):
        PoseNFS(MobileNetV2(), part_scheme(MPII, 1), FabricSpec(width=2, first=0))


FITTING = {  # a backbone, and the width of fabrics with its channels
    "fabric": (lambda: FabricBackbone(FabricSpec(width=3, first=0, last=3)), 3),
    "HRNet": (HRNet, 8),
    "ResNet-50": (ResNet50, 64),
}


@pytest.mark.parametrize("name", FITTING)
@pytest.mark.parametrize("rules", [PAPER, RELEASED], ids=["paper", "released"])
def test_no_entries_where_the_backbone_has_the_channels_of_the_fabric(name, rules):
    build, width = FITTING[name]
    spec, parts = FabricSpec(width=width), part_scheme(MPII, 3)
    with torch.device("meta"):  # shapes only
        model = PoseNFS(build(), parts, spec, 8, rules)
        old = PoseNFS(build(), parts, spec, 8, replace(rules, always_entries=True))
        other = PoseNFS(build(), parts, replace(spec, width=width + 1), 8, rules)
        images = torch.empty(2, 3, 64, 96)
        assert model(images).shape == old(images).shape == other(images).shape == (2, 16, 16, 24)
    assert not any(".entries." in key for key in model.state_dict())
    for network in (old, other):
        entries = [
            (entry.in_channels, entry.out_channels)
            for head in network.heads
            for entry in head.entries
        ]
        channels = [network.spec.width * stride for stride in (4, 8, 16, 32)]
        pairs = list(zip(network.backbone.channels, channels, strict=True))
        assert pairs[0][0] == 4 * width and entries == 3 * pairs
    # 1x1 convolutions with bias between equal channels, in three heads
    removed = 3 * sum(c * c + c for c in model.backbone.channels)
    sizes = [sum(p.numel() for p in network.parameters()) for network in (old, model)]
    assert sizes[0] - sizes[1] == removed


def test_heads_that_only_have_the_finest_channels_in_common_keep_their_entries():
    model = PoseNFS(MobileNetV2(), part_scheme(MPII, 1), FabricSpec(width=6))
    channels = [(entry.in_channels, entry.out_channels) for entry in model.heads[0].entries]
    assert channels == [(24, 24), (32, 48), (96, 96), (160, 192)]
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 16, 16, 16)


def test_heads_without_entries_equal_their_fabrics():
    spec = FabricSpec(width=2)
    model = small(1, backbone=FabricBackbone(FabricSpec(width=2, first=0, last=3))).eval()
    images = torch.randn(1, 3, 64, 64)
    [head] = model.heads
    assert head.fabric.spec == spec
    finest = head.fabric(model.backbone(images))[0]
    vectors = head.vectors(finest.relu()).unflatten(1, (16, 8))
    assert torch.equal(model(images), squash_length(vectors, dim=2))
    model.recompute = True
    assert torch.equal(model.train()(images), copy.deepcopy(model)(images))


def test_backbone_weights_from_a_file(tmp_path):
    source, path = MobileNetV2(), tmp_path / "weights.pth"
    features = nn.Sequential(*(block for stage in source.stages for block in stage)).state_dict()
    torch.save({f"features.{k}": v for k, v in features.items()}, path)
    loaded = BACKBONES["mobilenet_v2"](path, PAPER)
    assert (
        loaded.initial_weights
        == f"{len(features)} of {len(features)} tensors matched, of {len(features)} in weights.pth"
    )
    assert all(
        (a == b).all()
        for a, b in zip(loaded.state_dict().values(), source.state_dict().values(), strict=True)
    )
    # an old file: without counts of batches, and without the prefix
    old = {k: v for k, v in features.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, path)
    initial_weights = BACKBONES["mobilenet_v2"](path, PAPER).initial_weights
    assert (
        initial_weights
        == f"{len(old)} of {len(features)} tensors matched, of {len(old)} in weights.pth"
    )
    torch.save({**old, "3.conv.0.0.weight": torch.zeros(3, 3)}, path)
    counts = f"{len(old) - 1} of the {len(features)} tensors of the backbone"
    with pytest.raises(ValueError, match=rf"{counts} .* shape: 3.conv.0.0.weight$"):
        BACKBONES["mobilenet_v2"](path, PAPER)
    path.write_text("no weights")
    with pytest.raises(ValueError, match=r"weights.pth is no file of torch.save or safetensors"):
        BACKBONES["mobilenet_v2"](path, PAPER)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match=r"weights.pth holds a list"):
        BACKBONES["mobilenet_v2"](path, PAPER)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        BACKBONES["mobilenet_v2"](tmp_path / "nowhere.pth", PAPER)
    with pytest.raises(ValueError, match="random weights"):
        BACKBONES["fabric_1"](path, PAPER)


def test_with_architectures_changes_a_copy():
    spec = FabricSpec(width=2)
    model = PoseNFS(MobileNetV2(), part_scheme(MPII, 3), spec)
    architecture = Architecture.random(spec, 4)
    changed = model.with_architectures({"head_part": architecture})
    assert torch.equal(changed.fabrics()["head_part"].beta, architecture.beta)
    assert (
        not model.fabrics()["head_part"].beta.any()
        and not changed.fabrics()["lower_limb_part"].beta.any()
    )
    with pytest.raises(ValueError, match="no fabric 'tail'; there are upper_limb_part"):
        model.with_architectures({"tail": architecture})
