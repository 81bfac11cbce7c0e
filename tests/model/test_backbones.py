"""The interface of every backbone, and their initial weights."""

from urllib.error import URLError

import pytest
import torch
from torchvision.models import resnet50

from posenfs.model.backbones import BACKBONES
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.space import Rules


@pytest.mark.parametrize(
    "size", [(256, 256), (384, 384), (384, 288)], ids=lambda s: f"{s[0]}x{s[1]}"
)
@pytest.mark.parametrize("name", BACKBONES)
def test_four_maps_at_their_strides_with_their_channels(name, size):
    backbone = BACKBONES[name](None, Rules()).to("meta")  # shapes only: nothing is computed
    maps = backbone(torch.empty(1, 3, *size, device="meta"))
    strides = (4, 8, 16, 32)
    assert backbone.strides == strides and len(maps) == len(backbone.channels) == 4
    for x, channels, stride in zip(maps, backbone.channels, strides, strict=True):
        assert x.shape == (1, channels, size[0] // stride, size[1] // stride)
    assert backbone.initial_weights == "random"


@pytest.mark.parametrize("name", BACKBONES)
def test_every_weight_has_a_finite_gradient(name):
    torch.manual_seed(0)
    backbone = BACKBONES[name](None, Rules()).train()
    maps = backbone(torch.randn(2, 3, 64, 64))
    sum(x.square().mean() for x in maps).backward()
    gradients = {key: p.grad for key, p in backbone.named_parameters()}
    assert [key for key, grad in gradients.items() if grad is None] == []
    assert all(grad.isfinite().all() for grad in gradients.values())


@pytest.mark.parametrize("name", BACKBONES)
def test_eval_output_does_not_depend_on_the_batch(name):
    torch.manual_seed(0)
    backbone, images = (
        BACKBONES[name](None, Rules()).double().eval(),
        torch.randn(2, 3, 64, 96).double(),
    )
    with torch.no_grad():
        for single, batch in zip(backbone(images[1:]), backbone(images), strict=True):
            torch.testing.assert_close(single, batch[1:], rtol=1e-9, atol=1e-9)


def test_resnet_weights_from_torchvisions_file(tmp_path):
    net = resnet50()
    torch.save(net.state_dict(), tmp_path / "resnet50.pth")
    backbone = BACKBONES["resnet50"](tmp_path / "resnet50.pth", Rules()).eval()
    count = len(net.state_dict())
    assert (
        backbone.initial_weights
        == f"{count - 2} of {count - 2} tensors matched, of {count} in resnet50.pth"
    )
    images, outputs = torch.randn(1, 3, 64, 64), []
    net.layer4.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    with torch.no_grad():
        net.eval()(images)
        torch.testing.assert_close(backbone(images)[3], outputs[0])


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50"])
def test_failed_download_names_the_address_and_the_option(name, monkeypatch, tmp_path):
    def offline(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(
        OSError, match=r"cannot download https://\S+ \(no network\): give --backbone-weights FILE"
    ):
        BACKBONES[name]("imagenet", Rules())


def test_imagenet_weights_of_hrnet_are_refused():
    with pytest.raises(
        ValueError, match="give the path of a file of its authors: hrnet_w32-36af842e.pth"
    ):
        BACKBONES["hrnet_w32"]("imagenet", Rules())


def test_hrnet_weights_from_a_whole_network(tmp_path):
    """The official files also hold stage 4 and a head, and use the same names."""
    whole = HRNet(whole=True, fuse_last=False)
    state = whole.state_dict() | {
        "final_layer.weight": torch.zeros(16, 32, 1, 1),
        "final_layer.bias": torch.zeros(16),
    }
    torch.save(state, tmp_path / "pose_hrnet_w32.pth")
    backbone = BACKBONES["hrnet_w32"](tmp_path / "pose_hrnet_w32.pth", Rules())
    used = len(backbone.state_dict())
    assert (
        backbone.initial_weights
        == f"{used} of {used} tensors matched, of {len(state)} in pose_hrnet_w32.pth"
    )
    assert {key.split(".")[0] for key in state} == {
        "conv1", "bn1", "conv2", "bn2", "layer1", "transition1", "stage2", "transition2", "stage3",
        "transition3", "stage4", "final_layer",
    }  # fmt: skip
    for key in (
        "layer1.0.downsample.1.running_var", "transition1.0.0.weight", "transition1.1.0.0.weight",
        "stage2.0.branches.1.3.conv2.weight", "stage2.0.fuse_layers.0.1.0.weight",
        "stage2.0.fuse_layers.1.0.0.0.weight",
        "stage3.3.fuse_layers.2.0.0.0.weight", "stage3.3.fuse_layers.2.0.1.1.bias",
        "transition3.3.0.0.weight",
        "stage4.2.fuse_layers.0.3.1.weight",
    ):  # fmt: skip
        assert key in state, key
    assert (
        "stage4.2.fuse_layers.1.0.0.0.weight" not in state
        and "stage4.1.fuse_layers.1.0.0.0.weight" in state
    )
