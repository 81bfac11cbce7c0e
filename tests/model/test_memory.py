"""Memory of a training step: the estimate against the resident memory of separate processes."""

import contextlib
import ctypes
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.model.baselines import HRNetPose, SimpleBaseline
from posenfs.model.memory import TrainingMemory, largest_batch, training_memory
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec
from posenfs.model.vectors import heatmap_loss

MODELS = {
    "Table II": lambda: PoseNFS(MobileNetV2(), part_scheme(MPII, 3)),
    "SimpleBaseline-50": lambda: SimpleBaseline(part_scheme(MPII, 1)),
    "HRNet-W32": lambda: HRNetPose(part_scheme(MPII, 1)),
}


def measure_in_subprocess(name, batch_size, size):
    """Bytes by which a process grows that builds and trains a model and gives back freed memory."""
    allocator = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, __file__, name, str(batch_size), str(size)]
    result = subprocess.run(
        command, env={**os.environ, **allocator}, stdout=subprocess.PIPE, text=True, check=True
    )
    return int(result.stdout)


def measure_here(name, batch_size, size):
    """Measure in this process: a first model loads the kernels, a second one gives the peak."""
    torch.set_num_threads(1)
    train(MODELS[name](), steps=((2, 64),))
    start = resident_after_trim()
    model = MODELS[name]()
    train(
        model, steps=((2, 64), (batch_size, size))
    )  # at its second step a search has gradients and moments
    return resident("VmHWM") - start


def train(model, steps):
    """Run one training step for each (batch size, px), as a search does."""
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    for batch_size, size in steps:
        with contextlib.suppress(
            OSError
        ):  # some systems forbid it; the peak is that of the last step anyway
            Path("/proc/self/clear_refs").write_text("5")
        images = torch.randn(batch_size, 3, size, size)
        target, visibility = (
            torch.rand(batch_size, 16, size // 4, size // 4),
            torch.ones(batch_size, 16),
        )
        loss = heatmap_loss(model(images), target, visibility)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def resident_after_trim():
    """Resident memory after all free memory is given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return resident("VmRSS")


def resident(field):
    """Resident bytes of this process: VmRSS now, VmHWM at the peak."""
    [line] = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field)]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("name", "batch_size", "size"),
    [
        ("Table II", 8, 128),
        pytest.param("SimpleBaseline-50", 4, 128, marks=pytest.mark.slow),
        pytest.param("HRNet-W32", 4, 128, marks=pytest.mark.slow),
        pytest.param("Table II", 16, 128, marks=pytest.mark.slow),
        pytest.param("SimpleBaseline-50", 16, 128, marks=pytest.mark.slow),
        pytest.param("HRNet-W32", 16, 128, marks=pytest.mark.slow),
        pytest.param("Table II", 16, 256, marks=pytest.mark.slow),
        pytest.param("SimpleBaseline-50", 16, 256, marks=pytest.mark.slow),
        pytest.param("HRNet-W32", 8, 256, marks=pytest.mark.slow),
    ],
)
def test_resident_memory_of_a_real_step(name, batch_size, size):
    estimated = training_memory(MODELS[name](), batch_size, size, size).total
    assert estimated == pytest.approx(measure_in_subprocess(name, batch_size, size), rel=0.05)


@pytest.fixture(scope="module")
def model():
    return PoseNFS(MobileNetV2(), part_scheme(MPII, 1), FabricSpec(width=1))


def test_estimate_is_affine_in_the_batch_size(model):
    two, four, nine = (training_memory(model, batch_size, 64, 96) for batch_size in (2, 4, 9))
    for part in ("weights", "gradients", "optimizer"):
        assert getattr(two, part) == getattr(nine, part)
    for part in ("activations", "working", "total"):
        slope = (getattr(four, part) - getattr(two, part)) / 2
        assert slope > 0
        assert getattr(nine, part) == getattr(two, part) + 7 * slope


def test_estimate_grows_with_the_image(model):
    sizes = [(64, 64), (64, 96), (96, 96), (256, 192)]
    totals = [training_memory(model, 2, *size).total for size in sizes]
    assert totals == sorted(set(totals))


@pytest.mark.parametrize("batch_size", [1, 24])
def test_the_largest_batch_fits_and_one_more_does_not(model, batch_size):
    needed = training_memory(model, batch_size, 64, 64).total
    assert largest_batch(model, needed, 64, 64) == batch_size
    assert largest_batch(model, needed - 1, 64, 64) == batch_size - 1


def test_largest_batch_is_zero_without_memory(model):
    assert largest_batch(model, 0, 64, 64) == 0


class Squares(nn.Module):
    """A model that saves its map twice and has unused weights."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 1)
        self.unused = nn.Conv2d(3, 5, 1)

    def forward(self, images):
        x = self.conv(images)
        return x * x


def test_parts_of_a_small_model():
    memory = training_memory(Squares(), 2, 8, 16)
    pixels, layer_bytes = 8 * 16, 4 * (3 * 5 + 5)
    assert (memory.weights, memory.gradients) == (2 * layer_bytes, layer_bytes)
    assert memory.optimizer == 2 * layer_bytes
    mask_bytes = 2 * 5  # one for each keypoint: whether it is labelled
    # images, x once, and the difference that the loss squares
    assert memory.activations == 4 * 2 * pixels * (3 + 5 + 5) + mask_bytes
    assert memory.working == 4 * 2 * pixels * 5 + 4 * 3 * 5
    assert memory.total == 5 * layer_bytes + memory.activations + memory.working


def test_model_is_left_unchanged():
    model = Squares().eval()
    before = {name: p.clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        training_memory(model, 2, 8, 8)
    assert not model.training
    assert all(
        torch.equal(p, before[name]) and p.grad is None for name, p in model.named_parameters()
    )


def test_memory_as_text():
    memory = TrainingMemory(2**20, 2**20, 2**21, 3 * 2**30, 2**19)
    assert str(memory) == (
        "3.00 GiB: weights 1.0 MiB, gradients 1.0 MiB, optimizer 2.0 MiB, "
        "activations 3.00 GiB, working 0.5 MiB"
    )


def test_invalid_arguments_are_refused(model):
    with pytest.raises(ValueError, match="batch_size must be at least 1; got 0"):
        training_memory(model, 0)
    with pytest.raises(ValueError, match="64 x 100"):
        training_memory(model, 2, 64, 100)


if __name__ == "__main__":
    print(measure_here(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
