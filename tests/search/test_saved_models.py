"""Models on disk come back with the very numbers they had, whatever network they are of."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import COCO, MPII
from posenfs.data.files import DiskFullError
from posenfs.model.architecture import Architecture
from posenfs.model.backbones import BACKBONES
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.network import PoseNFS
from posenfs.model.pruning import prune
from posenfs.model.space import RELEASED, FabricSpec
from posenfs.model.tensors import weights_hash
from posenfs.search.build import build_model, derive
from posenfs.search.checkpoints import RunError
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.saved_models import experiment_of_model, load_model, save_model

SMALL = FabricSpec(width=2, hidden_nodes=2, alpha_per_cell=True)
EXPERIMENTS = {
    "pose_nfs": Experiment(fabric=SMALL),
    "fabric backbone": Experiment(
        fabric=SMALL, backbone_fabric=FabricSpec(width=2, first=0, last=3), parts=8
    ),
    "own parts": Experiment(
        fabric=SMALL, parts={"upper": MPII.keypoints[:9], "lower": MPII.keypoints[8:]}
    ),
    "branchnet": Experiment(model="branchnet_1"),
    "simple baseline": Experiment(model="simple_baseline_50", vector_dim=8),
}


def built(experiment):
    model = build_model(experiment, part_scheme(MPII, experiment.parts)).eval()
    generator = torch.Generator().manual_seed(1)
    for fabric in model.fabrics().values():
        fabric.alpha.data.normal_(generator=generator, std=2)
        fabric.beta.data.normal_(generator=generator, std=2)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5, generator=generator)
    return model


def same(model, other):
    assert weights_hash(model) == weights_hash(other) and type(model) is type(other)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    maps = []
    for network in (model, other):
        parameter = next(network.parameters())
        with torch.no_grad():
            maps.append(network.to(memory_format=torch.channels_last)(images.to(parameter)))
    assert torch.equal(*maps)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_round_trip(name, tmp_path):
    experiment, model = EXPERIMENTS[name], built(EXPERIMENTS[name])
    save_model(tmp_path / "model", model, experiment)
    saved = load_model(tmp_path / "model")
    assert saved.experiment == experiment and not saved.model.training
    same(saved.model, model)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


@pytest.mark.parametrize("mode", ["exact", "threshold", "one-hot"])
@pytest.mark.parametrize("name", ["pose_nfs", "fabric backbone"])
def test_a_pruned_model_comes_back_pruned(name, mode, tmp_path):
    pruned = prune(built(EXPERIMENTS[name]), mode, 0.2 if mode == "threshold" else 0)
    save_model(tmp_path, pruned, EXPERIMENTS[name])
    same(load_model(tmp_path).model, pruned)


def test_nothing_of_the_backbone_left(tmp_path):
    experiment = EXPERIMENTS["fabric backbone"]
    model = built(experiment)
    for head in model.heads:
        chosen = head.fabric.architecture.genotype(head.fabric.spec)
        nothing = replace(
            chosen, operations=tuple(("zero",) * len(row) for row in chosen.operations)
        )
        head.fabric.alpha.data.copy_(nothing.architecture(head.fabric.spec).alpha)
    pruned = prune(model)
    assert not list(pruned.backbone.parameters())
    save_model(tmp_path, pruned, experiment)
    same(load_model(tmp_path).model, pruned)


def test_float64_stays_and_float16_becomes_float32(tmp_path):
    experiment = EXPERIMENTS["pose_nfs"]
    model = built(experiment).double()
    save_model(tmp_path / "double", model, experiment)
    same(load_model(tmp_path / "double").model, model)
    save_model(tmp_path / "half", model.half(), experiment)
    half = load_model(tmp_path / "half").model
    assert all(
        p.dtype == torch.float32 and torch.equal(p, p.half().float()) for p in half.parameters()
    )


def test_a_run_is_a_model(tiny, tmp_path):
    from posenfs.search.session import Search

    search = Search(tiny, tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="no weights yet"):
        load_model(tmp_path / "run")
    search.epoch()
    same(load_model(tmp_path / "run").model, search.model.eval())  # of the last checkpoint
    search.finish()
    assert (tmp_path / "run" / "model.safetensors").is_file()
    same(load_model(RunDir(tmp_path / "run")).model, search.model.eval())


def test_a_network_that_starts_with_saved_weights(tmp_path):
    experiment = EXPERIMENTS["pose_nfs"]
    model = built(experiment)
    save_model(tmp_path, model, experiment)
    again = build_model(replace(experiment, init_from=str(tmp_path)), model.parts)
    assert weights_hash(again) == weights_hash(model) and "saved in" in again.initial_weights
    genotypes = model.genotypes()
    same(
        build_model(replace(experiment, init_from=str(tmp_path), genotype=genotypes), model.parts),
        derive(model, genotypes),
    )
    with pytest.raises(ValueError, match="another network: for heads"):
        build_model(
            replace(experiment, init_from=str(tmp_path), fabric=FabricSpec(width=3)), model.parts
        )
    with pytest.raises(ValueError, match=r"genotypes of head for fabrics upper_limb_part"):
        derive(model, {"head": next(iter(genotypes.values()))})


def test_files_that_are_none(tmp_path):
    experiment = EXPERIMENTS["pose_nfs"]
    with pytest.raises(RunError, match="no run"):
        load_model(tmp_path / "nowhere")
    model = built(experiment)
    save_model(tmp_path, model, experiment)
    with pytest.raises(ValueError, match="another experiment"):
        save_model(tmp_path, model, replace(experiment, vector_dim=4))
    whole = load_file(tmp_path / "model.safetensors")
    whole.pop("heads.0.vectors.weight")
    save_file(whole, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="it has nothing"):
        load_model(tmp_path)
    pruned = prune(built(replace(experiment, fabric=FabricSpec(width=2))))
    save_model(tmp_path / "other", pruned, replace(experiment, fabric=FabricSpec(width=2)))
    (tmp_path / "model.safetensors").write_bytes(
        (tmp_path / "other" / "model.safetensors").read_bytes()
    )
    with pytest.raises(ValueError, match="another network: heads.0.fabric has weights of"):
        load_model(tmp_path)
    with pytest.raises(ValueError, match="is a file; choose a folder"):
        save_model(tmp_path / "model.safetensors", model, experiment)
    (tmp_path / "model.safetensors").write_bytes(b"no tensors at all")
    with pytest.raises(ValueError, match="cannot be read as safetensors"):
        load_model(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    experiment = EXPERIMENTS["pose_nfs"]
    model = built(experiment)
    save_model(tmp_path, model, experiment)
    before = (tmp_path / "model.safetensors").read_bytes()

    def half(path, *_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("posenfs.search.saved_models.write_tensors", half)
    with pytest.raises(DiskFullError, match="model.safetensors: no space is left"):
        save_model(tmp_path, model, experiment)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("skeleton", [MPII, COCO])
@pytest.mark.parametrize("backbone", ["mobilenet_v2", "hrnet_w32", "fabric"])
def test_the_experiment_of_a_network_made_without_one(backbone, skeleton, tmp_path):
    whole = FabricSpec(
        width=3, hidden_nodes=2, first=0, last=3, operations=("skip", "max_pool_3x3")
    )
    made = (
        FabricBackbone(whole, RELEASED)
        if backbone == "fabric"
        else BACKBONES[backbone](None, RELEASED)
    )
    spec = FabricSpec(layers=7, width=3, first=4, operations=("skip", "separable_3x3"))
    model = PoseNFS(made, part_scheme(skeleton, 5), spec, 4, RELEASED).eval()
    experiment = experiment_of_model(model, "released", skeleton)
    assert experiment.parts == 5
    save_model(tmp_path, model, experiment)
    same(load_model(tmp_path).model, model)


def test_a_genotype_that_does_not_fit():
    chosen = Architecture.random(SMALL).genotype(SMALL)
    with pytest.raises(ValueError, match="6 x 3 operations"):
        replace(chosen, operations=chosen.operations[:1]).architecture(SMALL)
    with pytest.raises(ValueError, match="unknown source 'up'"):
        replace(chosen, sources=("up",) * 6).architecture(SMALL)
    with pytest.raises(ValueError, match="has 6 sources; got 5"):
        replace(chosen, sources=chosen.sources[:5]).architecture(SMALL)
