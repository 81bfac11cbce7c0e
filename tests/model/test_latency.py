"""Latency: inputs, number of runs, and that model and random numbers stay unchanged."""

import pytest
import torch
from torch import nn

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.model.latency import Latency, measure_latency
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec


class Recorder(nn.Module):
    """A model that records its calls."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.calls = []

    def forward(self, images):
        self.calls.append((images, self.training, torch.is_inference_mode_enabled()))
        return self.conv(images)


def test_latency_of_a_small_network():
    model = PoseNFS(MobileNetV2(), part_scheme(MPII, 1), FabricSpec(width=1))
    latencies = measure_latency(model, (1, 2), 64, 96, repeats=4)
    assert [(x.batch_size, x.repeats) for x in latencies] == [(1, 4), (2, 4)]
    assert all(0 < x.low_s <= x.median_s <= x.high_s for x in latencies)
    assert model.training


def test_images_per_second():
    assert Latency(8, 0.5, 0.4, 0.7, repeats=3).images_per_s == 16


@pytest.mark.parametrize("training", [True, False])
def test_inputs_and_modes_of_the_runs(training):
    model = Recorder().double().to(memory_format=torch.channels_last).train(training)
    before = torch.get_rng_state()
    [latency] = measure_latency(model, [2], 32, 64, repeats=5)
    assert len(model.calls) == 3 + latency.repeats == 8
    for images, was_training, inference in model.calls:
        assert images.shape == (2, 3, 32, 64) and images.dtype == torch.float64
        assert images.is_contiguous(memory_format=torch.channels_last) and images.std() > 0.5
        assert inference and not was_training
    assert model.training == training
    assert torch.equal(torch.get_rng_state(), before)


def test_images_are_contiguous_where_the_model_is():
    model = Recorder()
    measure_latency(model, [2], 32, 32, repeats=1)
    assert model.calls[0][0].is_contiguous()


@pytest.mark.parametrize(("repeats", "seconds", "runs"), [(50, 0, 3), (2, 0, 2), (7, 60, 7)])
def test_the_time_limits_the_repeats(repeats, seconds, runs):
    [latency] = measure_latency(Recorder(), [1], 32, 32, repeats=repeats, seconds=seconds)
    assert latency.repeats == runs


def test_mode_is_restored_after_an_error():
    model = PoseNFS(MobileNetV2(), part_scheme(MPII, 1), FabricSpec(width=1))
    with pytest.raises(ValueError, match="64 x 96"):
        measure_latency(model, [1], 64, 90)
    assert model.training


@pytest.mark.parametrize("arguments", [{"batch_sizes": [1, 0]}, {"repeats": 0}])
def test_numbers_below_one_are_refused(arguments):
    with pytest.raises(ValueError, match="at least 1"):
        measure_latency(Recorder(), **arguments)
