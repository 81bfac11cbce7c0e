"""The network as a search runs it: what may change its speed and its memory changes nothing else, or says so."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from benchmarks.speed.implementations import plain_step, reference_of
from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.data.geometry import ImageSize, crop_to_heatmap
from posenfs.data.heatmaps import encode
from posenfs.data.sample import Batch, normalise
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.model.memory import keep_freed_memory, peak_bytes
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec
from posenfs.model.vectors import heatmap_loss
from posenfs.search.configuration import SearchConfig, TrainingConfig
from posenfs.search.context import SearchContext
from posenfs.search.experiment import Experiment
from posenfs.search.forward import Forward
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search
from posenfs.search.strategies import STRATEGIES, with_defaults
from posenfs.study.gradient_checks import TargetBatch, tiny_batch, tiny_network
from posenfs.study.profiles import changed
from tests.sweeps import sweep

CPU = torch.device("cpu")


def searched(**spec):
    torch.manual_seed(0)
    return PoseNFS(MobileNetV2(), part_scheme(MPII, 3), FabricSpec(width=2, **spec), 8)


def examples(number, size=64):
    generator = torch.Generator().manual_seed(number)
    images, target = (
        torch.randn(4, c, s, s, generator=generator) for c, s in ((3, size), (16, size // 4))
    )
    return TargetBatch(images, target.sigmoid(), torch.full((4, 16), 2))


def context_of(model, forward=None, name="synchronous"):
    """The context of a strategy in its first epoch, on batches of `examples`."""
    training = TrainingConfig(batch_size=4)
    forward = forward or Forward(model, training, CPU)

    def compute_loss(batch):
        return heatmap_loss(forward(batch.images), batch.target, batch.visibility)

    search = with_defaults(SearchConfig(name), STRATEGIES[name])
    context = SearchContext(model, training, search, compute_loss)
    context.set_epoch(0)
    return context


@pytest.mark.parametrize("dtype", sweep([torch.float32, torch.float64], fast=[torch.float64]))
def test_twenty_steps_as_the_plain_reference(dtype):
    """Two optimisers, folded weights and the CPU's own gradient: the losses agree step by step.

    Training magnifies rounding: the bounds are some ten times what two orders of summation differ by.
    """
    model, losses = searched().to(dtype), ([], [])
    plain = reference_of(searched().to(dtype)).train()
    plain.load_state_dict(model.state_dict())
    model.to(memory_format=torch.channels_last).train()
    context, step = context_of(model, forward=model), plain_step(plain)
    for number in range(20):
        batch = TargetBatch(*(t.to(dtype) for t in vars(examples(number)).values()))
        losses[0].append(STRATEGIES["synchronous"].step(context, batch, None, number).item())
        losses[1].append(step(batch).item())
    assert losses[0][-1] < 0.9 * losses[0][0]
    bound = 1e-9 if dtype == torch.float64 else 2e-2
    torch.testing.assert_close(*(torch.tensor(own) for own in losses), rtol=bound, atol=0)


@pytest.mark.parametrize(
    "name", [name for name in STRATEGIES if name != "gumbel"]
)  # whose noise comes from the host
def test_no_step_synchronises_with_the_host(name):
    """On tensors that have shapes alone, a step that reads a value of one fails."""
    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        torch.ones(()).item()
    with FakeTensorMode():
        model = searched().train()
        batch = Batch(
            torch.empty(4, 3, 64, 64, dtype=torch.uint8), torch.empty(4, 16, 2), torch.full((4, 16), 2), None, None,
            torch.empty(4, 3),
        )  # fmt: skip
        context = context_of(model, name=name)

        def compute_loss(batch):
            targets = encode(crop_to_heatmap(batch.keypoints_crop, 4), ImageSize(16, 16))
            maps = model(normalise(batch.images, batch.gains))
            return heatmap_loss(maps, targets, batch.visibility)

        context.compute_loss = compute_loss
        for number in range(2):
            assert STRATEGIES[name].step(context, batch, batch, number).shape == ()


def test_recomputing_changes_no_bit(tiny, tmp_path):
    found = []
    for recompute in (False, True):
        experiment = replace(tiny, runtime=replace(tiny.runtime, recompute=recompute))
        search = Search(experiment, tmp_path / str(recompute), "cpu", progress=False)
        search.finish()
        run = RunDir(search.run.folder)
        found.append((run.history(), run.checkpoints.load(run.checkpoints.steps()[-1])["model"]))
    (history, weights), (other, others) = found
    assert history == other
    assert all(weights[name].equal(others[name]) for name in weights)


def test_recomputing_keeps_less_for_the_backward_pass():
    kept = []
    for recompute in (False, True):
        model, sizes = searched().train(), {}
        model.recompute = recompute

        def pack(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(examples(0).images)
        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        kept.append(sum(size for place, size in sizes.items() if place not in weights))
    assert kept[1] < kept[0] / 5, kept


def test_only_heads_can_be_recomputed(tiny, tmp_path):
    experiment = replace(
        tiny, model="hrnet_w32", parts=1, runtime=replace(tiny.runtime, recompute=True)
    )
    with pytest.raises(
        ValueError,
        match="runtime.recompute is for networks with heads for parts; hrnet_w32 has none",
    ):
        Search(experiment, tmp_path / "run", "cpu", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"training.compile": "fast"},
            "unknown training.compile 'fast'; known: no, default, reduce-overhead",
        ),
        (
            {"training.compile": "default", "runtime.recompute": True},
            "runtime.recompute does not work with training.compile",
        ),
        (
            {"training.compile": "reduce-overhead", "training.accumulate": 2},
            "no training.accumulate above 1 .* got 2 and sync",
        ),
        (
            {"training.compile": "reduce-overhead", "search.strategy": "second_order"},
            "one forward and backward pass per step",
        ),
    ],
)
def test_invalid_combinations_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        changed(Experiment(), settings)


def test_a_compiler_that_fails_is_said_and_done_without(monkeypatch, capsys):
    class Broken(RuntimeError):
        __module__ = "torch._inductor.exc"

    def compiled(images):
        raise Broken("no C++ compiler\nand much more")

    monkeypatch.setattr(torch, "compile", lambda model, mode: compiled)
    model, images = tiny_network().float().eval(), tiny_batch(0).images.float()
    forward = Forward(model, TrainingConfig(compile="default"), CPU)
    for _ in range(2):
        assert torch.equal(forward(images), model(images))
    said = capsys.readouterr().err
    assert forward.compiled == "no"
    assert (
        said.count("compiling the network") == 1
        and "the compiler failed (Broken: no C++ compiler); continuing" in said
    )


def test_every_wait_for_the_compiler_is_said(monkeypatch, capsys):
    monkeypatch.setattr(torch, "compile", lambda model, mode: model)
    model, images = tiny_network().float(), tiny_batch(0).images.float()
    forward = Forward(model, TrainingConfig(compile="default"), CPU)
    for part in (images, images, torch.cat([images, images])):
        forward(part)
    for scores in model.architecture_parameters():
        scores.requires_grad_(False)  # as in a warm-up
    forward(images)
    assert capsys.readouterr().err.count("compiling the network") == 3


def test_an_error_of_ones_own_is_not_the_compilers(monkeypatch):
    def compiled(images):
        raise ValueError("an image of 1 x 1 px")

    monkeypatch.setattr(torch, "compile", lambda model, mode: compiled)
    with pytest.raises(ValueError, match="an image of 1 x 1 px"):
        Forward(tiny_network(), TrainingConfig(compile="default"), CPU)(tiny_batch(0).images)


@pytest.mark.slow
def test_compiled_is_the_same_to_rounding():
    """In float64: the gradients of a network of this depth are within a hundredth of one another in float32."""
    torch.manual_seed(0)
    networks = [
        PoseNFS(MobileNetV2(), part_scheme(MPII, 1), FabricSpec(width=1), 2).double()
        for _ in range(2)
    ]
    networks[1].load_state_dict(networks[0].state_dict())
    gradients = []
    for network, mode in zip(networks, ("no", "default"), strict=True):
        Forward(network.train(), TrainingConfig(compile=mode), CPU)(
            examples(0).images.double()
        ).square().sum().backward()
        gradients.append(
            torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        )
    assert (gradients[0] - gradients[1]).norm() < 1e-9 * gradients[0].norm()


def test_bfloat16_is_near():
    model, images = searched().eval(), examples(0).images
    exact, coarse = (
        Forward(model, TrainingConfig(precision=p), CPU)(images) for p in ("float32", "bfloat16")
    )
    assert coarse.dtype == torch.float32 and 0 < (exact - coarse).abs().max() < 0.05


def test_memory_is_kept_without_harm():
    """Blocks that were mapped before, and are freed after, are given back as ever."""
    before = torch.ones(2**22)
    keep_freed_memory()
    after = torch.ones(2**24)
    del before
    assert after.sum() == 2**24


def test_the_peak_is_that_of_the_process_alone():
    """Not of the one that began it, which held a gigabyte."""
    whole = torch.ones(2**28)
    code = "import torch; from posenfs.model.memory import peak_bytes; print(peak_bytes(torch.device('cpu')))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 50e6 < int(said.stdout) < 2**30 <= peak_bytes(CPU)
    del whole
