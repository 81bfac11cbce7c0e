"""Weights of others are read in the wrappings in which they are distributed."""

import argparse
import collections
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from posenfs.errors import PosenfsError
from posenfs.evaluation import detections
from posenfs.model.backbones import BACKBONES
from posenfs.model.backbones.pretrained import load_weights
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.model.space import PAPER
from posenfs.model.state_dicts import WeightsError, read_state_dict


def small(seed=0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


STATE = small(1).state_dict()


def prefixed(prefix):
    return {f"{prefix}{key}": tensor for key, tensor in STATE.items()}


WRAPPINGS = {
    "plain": STATE,
    "module.": prefixed("module."),
    "module. twice": prefixed("module.module."),
    "of torch.compile": prefixed("_orig_mod.module."),
    "state_dict": {"state_dict": STATE, "epoch": 3},
    "model": {"model": STATE, "args": argparse.Namespace(lr=0.1)},
    "model_state_dict": {"epoch": torch.tensor(3), "model_state_dict": STATE},
    "any one name": {"weights of the year": STATE, "year": "2019"},
    "two levels, module.": {"model": {"state_dict": prefixed("module.")}},
    "beside an optimizer": {
        "net": STATE,
        "best": torch.tensor(0.5),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 0.1}]},
    },
    "beside its moving average": {"state_dict_ema": small(2).state_dict(), "state_dict": STATE},
    "numpy numbers": {
        "state_dict": STATE,
        "best": np.float64(0.3),
        "counts": np.arange(3),
        "others": [np.int64(1), np.float32(2), np.bool_(True), np.str_("a"), {"x": np.uint8(3)}],
    },
    "numpy numbers among the tensors": STATE | {"best": np.float64(0.3), "epoch": 4, "name": "a"},
    "numpy arrays": {key: tensor.numpy() for key, tensor in STATE.items()},
    "parameters": {key: nn.Parameter(tensor, False) for key, tensor in STATE.items()},
    "ordered": collections.OrderedDict(state_dict=collections.OrderedDict(STATE)),
    "backbone.": prefixed("backbone."),
    "of a larger network": prefixed("module.encoder.stem.")
    | {"module.encoder.head.0.weight": torch.zeros(7, 4, 1, 1), "module.fc.weight": torch.ones(2)},
}


def assert_loaded(path):
    module = small()
    text = load_weights(module, path)
    assert text.startswith(f"{len(STATE)} of {len(STATE)} tensors matched, of ")
    assert text.endswith(f" in {path.name}")
    for key, tensor in module.state_dict().items():
        assert torch.equal(tensor, STATE[key]), key


@pytest.mark.parametrize("zipped", [True, False], ids=["zip archive", "before torch 1.6"])
@pytest.mark.parametrize("name", WRAPPINGS)
def test_weights_in_a_wrapping(name, zipped, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(WRAPPINGS[name], path, _use_new_zipfile_serialization=zipped)
    assert_loaded(path)


def test_numbers_of_numpy_1(tmp_path):
    """numpy 1 writes another module name into the file than numpy 2."""
    path = tmp_path / "weights.pth"
    torch.save(WRAPPINGS["numpy numbers"], path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert b"numpy._core.multiarray" in content
    path.write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert_loaded(path)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_safetensors(suffix, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    save_file(prefixed("module.features."), path)
    assert_loaded(path)


def test_backbones_detector_and_their_half_precision(tmp_path, monkeypatch):
    """The three files of a features file: with module., in a state_dict, beside numpy numbers."""
    source = MobileNetV2()
    features = nn.Sequential(*(block for stage in source.stages for block in stage)).state_dict()
    files = {
        "module": {f"module.{key}": tensor for key, tensor in features.items()},
        "wrapped": {"state_dict": features, "epoch": 3},
        "numpy": {"state_dict": features, "best": np.float64(0.3)},
        "torchvision": {f"backbone.features.{key}": tensor for key, tensor in features.items()}
        | {"classifier.1.weight": torch.zeros(10, 1280)},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / f"{name}.pth")
        loaded = BACKBONES["mobilenet_v2"](tmp_path / f"{name}.pth", PAPER)
        assert f"{len(features)} of {len(features)} tensors matched" in loaded.initial_weights
        assert all(map(torch.equal, loaded.state_dict().values(), source.state_dict().values()))
    monkeypatch.setattr(detections, "fasterrcnn_resnet50_fpn_v2", lambda **_: small())
    half = {"model": {f"module.{key}": tensor.half() for key, tensor in STATE.items()}}
    torch.save(half, tmp_path / "detector.pth")
    detector = detections._detector(tmp_path / "detector.pth")
    assert torch.equal(detector[0].weight, STATE["0.weight"].half().float())


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("broken_into",)


class Custom:
    pass


REFUSED = {
    "a list": ([1], "holds a list, not a state dict"),
    "a tensor": (torch.zeros(2), "holds a Tensor, not a state dict"),
    "nothing": ({}, "holds no tensors; its entries: none"),
    "no tensors": ({"epoch": 3, "model": {}}, "holds no tensors; its entries: epoch, model"),
    "two networks": ({"net_g": STATE, "net_d": STATE}, "holds several state dicts: net_g, net_d"),
    "a network": (nn.Linear(2, 2), r"\(torch.nn.modules.linear.Linear\).*ask its author"),
    "code": ({"state_dict": STATE, "x": Malicious()}, "would run code when loaded is refused"),
    "an object": ({"state_dict": STATE, "x": Custom()}, r"numbers \(\S*test_state_dicts.Custom\)"),
    "objects in an array": ({"a": np.array([Malicious()])}, "would run code when loaded"),
    "two places": (
        prefixed("teacher.") | prefixed("student."),
        "in several places: student., teacher.; write those of one",
    ),
    "other names": (
        {"a.weight": torch.zeros(2), "b": torch.zeros(2)},
        r"only 0 of the 7 tensors of the backbone match the 2 of the file \(a.weight, b\)",
    ),
    "another shape": (
        STATE | {"0.weight": torch.zeros(4, 3, 3, 3)},
        "only 6 of the 7 .* missing or of another shape: 0.weight$",
    ),
    "not finite": (STATE | {"1.bias": torch.full((4,), torch.nan)}, "1.bias holds numbers that"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_contents_that_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, message = REFUSED[name]
    torch.save(content, "weights.pth")
    with pytest.raises(WeightsError, match=message) as error:
        load_weights(small(), tmp_path / "weights.pth")
    assert "weights.pth" in str(error.value) and isinstance(error.value, PosenfsError)
    assert not (tmp_path / "broken_into").exists()


def test_files_of_other_kinds(tmp_path):
    torch.save(STATE, tmp_path / "whole.pth")
    save_file(STATE, tmp_path / "whole.safetensors")
    with zipfile.ZipFile(tmp_path / "script.pth", "w") as file:
        for name in ("data.pkl", "constants.pkl", "version"):
            file.writestr(f"script/{name}", b"3")
    whole, header = (
        (tmp_path / "whole.pth").read_bytes(),
        (tmp_path / "whole.safetensors").read_bytes(),
    )
    files = {
        "empty.pth": (b"", r"it begins with b''"),
        "page.pth": (b"<!DOCTYPE html>\n<html>", r"no file of torch.save or safetensors \(it begins"),
        "pointer.pth": (b"version https://git-lfs.github.com/spec/v1\n", "begins with b'version"),
        "cut.pth": (whole[: len(whole) // 2], "is damaged or incomplete"),
        "cut.safetensors": (header[:40], "cannot be read as safetensors"),
        "pickle.pth": (pickle.dumps(Malicious()), "would run code when loaded is refused"),
        "script.pth": ((tmp_path / "script.pth").read_bytes(), "is a TorchScript archive"),
    }  # fmt: skip
    for name, (content, message) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=message) as error:
            read_state_dict(tmp_path / name)
        assert name in str(error.value)
    with pytest.raises(FileNotFoundError, match="no weights of the backbone at .*nowhere.pth"):
        load_weights(small(), tmp_path / "nowhere.pth")
