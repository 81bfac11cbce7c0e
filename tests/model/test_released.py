"""The authors' checkpoints: one real file, and files written in their layout from many networks."""

import os
import pickle

import pytest
import torch
from torch import nn

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import COCO, MPII
from posenfs.model.backbones import BACKBONES
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.model.network import PoseNFS
from posenfs.model.reference import ReferenceNFS
from posenfs.model.released import load_released
from posenfs.model.released_tensors import ReleasedError
from posenfs.model.space import RELEASED, FabricSpec

FOUR = ("zero", "skip", "dilated_3x3", "separable_3x3")
SIX = ("zero", "skip", "separable_3x3", "dilated_3x3", "avg_pool_3x3", "max_pool_3x3")


def test_output_of_a_released_network(real):
    path = real("released_layout") / "mobilenet_v2_p8_mpii.pth"
    file, model = torch.load(path, weights_only=True), load_released(path, FOUR)
    plain = ReferenceNFS(MobileNetV2(), model.parts, model.spec, 8, RELEASED).eval()
    plain.load_state_dict(model.state_dict())
    for network in (model, plain):
        with torch.no_grad():
            torch.testing.assert_close(
                network(file["input"].float()), file["output"].float(), rtol=0, atol=1e-5
            )


def authors_names(model: PoseNFS, dead_node: bool) -> dict[str, torch.Tensor]:
    """The tensors of a PoseNFS by the authors' names."""
    state = {}

    def put(key: str, module: nn.Module) -> None:
        state.update({f"{key}.{name}": tensor for name, tensor in module.state_dict().items()})

    def put_fabric(name, fabric):
        state[f"{name}.alphas"], beta = fabric.alpha.detach(), fabric.beta.detach()
        state[f"{name}.betas"] = torch.stack(
            [beta[:, 1], beta[:, 0], beta[:, 2]], 1
        )  # same, finer, coarser
        for layer, cells in enumerate(fabric.layers, start=fabric.spec.first):
            for row, cell in enumerate(cells):
                key = f"{name}.cell_{layer}_{row}"
                for place, slot in (("0", 1), ("1", 0), ("2", 2)):
                    transfer, source = cell.transfers[slot], cell.sources[slot]
                    if source == row:
                        continue
                    down = source < row
                    put(
                        f"{key}.propress_list.{place}.{'operation.0' if down else 'conv_1x1'}",
                        transfer.conv,
                    )
                    put(
                        f"{key}.propress_list.{place}.{'operation.1' if down else 'bn'}",
                        transfer.norm,
                    )
                for edge, candidates in enumerate(cell.edges):
                    for number, (kind, operation) in enumerate(
                        zip(fabric.spec.operations, candidates, strict=True)
                    ):
                        start = f"{key}.cell_arch.{edge}.ops.{number}.operation"
                        blocks = {"separable_3x3": ["first", "second"], "dilated_3x3": [""]}.get(
                            kind, []
                        )
                        for n, block in enumerate(
                            getattr(operation, b) if b else operation for b in blocks
                        ):
                            for m, part in enumerate(
                                (block.depthwise, block.pointwise, block.norm)
                            ):
                                put(f"{start}.{4 * n + m}", part)
                        if "pool" in kind:
                            put(f"{start}.1", operation.norm)
                if dead_node:
                    put(f"{key}.cell_arch.{len(cell.edges)}.ops.2.operation.0", nn.Conv2d(4, 4, 3))
                put(f"{key}.channel_keep", cell.project)

    for number, (part, head) in enumerate(zip(model.parts, model.heads, strict=True)):
        put_fabric(part.name, head.fabric)
        put(f"{part.name}.final_layer.1", head.vectors)
        for level, entry in enumerate(head.entries):
            put(f"reduce.{number}.{level}", entry)
    backbone = model.backbone
    if isinstance(backbone, FabricBackbone):
        put("backbone.stem", backbone.stem)
        put_fabric("backbone", backbone.fabric)
    elif isinstance(backbone, MobileNetV2):  # other names, the same tensors in the same order
        for name, tensor in backbone.state_dict().items():
            state[f"backbone.features.{name}"] = tensor
        state["backbone.features.17.conv.0.weight"] = torch.zeros(
            960, 160, 1, 1
        )  # blocks that are not used
    else:
        put("backbone", backbone)
        if hasattr(backbone, "stem"):  # ResNet-50 by its own names
            names = {
                "stem.0": "conv1",
                "stem.1": "bn1",
                **{f"stages.{n}": f"layer{n + 1}" for n in range(4)},
            }
            for key in [k for k in state if k.startswith("backbone.")]:
                [prefix] = [name for name in names if key.startswith(f"backbone.{name}.")]
                renamed = key.replace(f"backbone.{prefix}.", f"backbone.{names[prefix]}.")
                state[renamed] = state.pop(key)
    return state


CASES = {
    "P1": ("mobilenet_v2", MPII, 1, 8, {}, FOUR, None),
    "P3 COCO, d 4": ("mobilenet_v2", COCO, 3, 4, {"width": 3}, FOUR, None),
    "P5 HRNet, H 3": (
        "hrnet_w32",
        MPII,
        5,
        8,
        {"hidden_nodes": 3},
        ("skip", "separable_3x3", "dilated_3x3"),
        None,
    ),
    "P8 ResNet, d 1": ("resnet50", COCO, 8, 1, {"hidden_nodes": 2}, FOUR, None),
    "Fabric-1": ("fabric_1", MPII, 3, 8, {}, FOUR, SIX),
    "alpha per cell": (
        "mobilenet_v2",
        MPII,
        3,
        8,
        {"alpha_per_cell": True, "layers": 7},
        FOUR,
        None,
    ),
}


@pytest.mark.parametrize(
    "wrapped", [False, True], ids=["plain", "module., state_dict, counters, dead node"]
)
@pytest.mark.parametrize("case", CASES)
def test_round_trip_of_many_networks(case, wrapped, tmp_path):
    name, skeleton, parts, vector_dim, options, operations, backbone_operations = CASES[case]
    torch.manual_seed(0)
    spec = FabricSpec(**{"width": 2, "operations": operations, **options})
    model = PoseNFS(
        BACKBONES[name](None, RELEASED), part_scheme(skeleton, parts), spec, vector_dim, RELEASED
    ).eval()
    with torch.no_grad():
        for parameter in model.architecture_parameters():
            parameter.normal_()
        for key, buffer in model.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                buffer.uniform_(0.5, 1.5)
    state = authors_names(model, dead_node=wrapped)
    if wrapped:
        state = {f"module.{key}": tensor for key, tensor in state.items()} | {
            "module.total_ops": torch.zeros(1), "module.backbone.total_params": torch.zeros(1),
        }  # fmt: skip
        state = {"state_dict": state, "epoch": 3}
    torch.save(state, tmp_path / "released.tar")
    loaded = load_released(tmp_path / "released.tar", operations, backbone_operations)
    assert not loaded.training and loaded.spec == spec
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), model(images), rtol=1e-6, atol=1e-6)


def backbone_of(state):
    return [
        (key, value)
        for key, value in state.items()
        if "backbone" in key and not key.endswith("_tracked")
    ]


def test_checkpoint_that_fits_two_skeletons_needs_the_skeleton(tmp_path):
    """17 numbers for each of MPII's 16 keypoints, or 16 for each of COCO's 17."""
    model = PoseNFS(
        MobileNetV2(), part_scheme(MPII, 1), FabricSpec(width=2, operations=FOUR), 17, RELEASED
    )
    torch.save(authors_names(model, dead_node=False), tmp_path / "both.pth")
    message = r"both.pth fits MPII-16 and COCO-17 \(whole_body: 272\); pass skeleton=MPII"
    with pytest.raises(ReleasedError, match=message):
        load_released(tmp_path / "both.pth", FOUR)
    assert load_released(tmp_path / "both.pth", FOUR, skeleton=MPII).heads[0].vector_dim == 17


@pytest.fixture
def state():
    model = PoseNFS(
        MobileNetV2(), part_scheme(MPII, 3), FabricSpec(width=2, operations=FOUR), 8, RELEASED
    )
    return authors_names(model, dead_node=False)


@pytest.mark.parametrize(
    ("change", "operations", "message"),
    [
        (lambda s: s, SIX, r"alphas of upper_limb_part weigh 4 operations, but 6 were named"),
        (
            lambda s: s,
            (*FOUR[:2], "separable_3x3", "dilated_3x3"),
            r"ops.2.operation.4.weight is not there",
        ),
        (
            lambda s: {k: v for k, v in s.items() if "reduce.1.2" not in k},
            FOUR,
            r"reduce.1.2.weight is not there",
        ),
        (
            lambda s: {k: v for k, v in s.items() if "cell_4_1" not in k},
            FOUR,
            r"not those of a fabric of 6 layers",
        ),
        (
            lambda s: {k.replace("head_part", "tail_part"): v for k, v in s.items()},
            FOUR,
            "not those of Table I",
        ),
        (
            lambda s: {k: v for k, v in s.items() if "final_layer" not in k},
            FOUR,
            "no released checkpoint",
        ),
        (lambda s: {k: v for k, v in s.items() if "backbone" not in k}, FOUR, "no known backbone"),
        (lambda s: [1], FOUR, "holds a list"),
        (
            lambda s: {k: v for k, v in s.items() if k != "upper_limb_part.alphas"},
            FOUR,
            "upper_limb_part has no alphas or no cells",
        ),
        (
            lambda s: s | {"upper_limb_part.alphas": torch.zeros(3, 4)},
            FOUR,
            "upper_limb_part have 3 edges; cells of 1 hidden nodes have 1, or 2 with a second",
        ),
        (lambda s: s | {"head_part.betas": torch.zeros(1, 3)}, FOUR, "head_part.betas do not fit"),
        (
            lambda s: s | {"head_part.final_layer.1.weight": torch.zeros(7, 8, 1, 1)},
            FOUR,
            r"head_part: 7, .* are no multiple of the keypoints of any skeleton",
        ),
        (
            lambda s: dict(
                [item for item in s.items() if "backbone" not in item[0]] + backbone_of(s)[:40]
            ),
            FOUR,
            r"the backbone has 40 tensors, but \d+ are needed",
        ),
        (
            lambda s: s | {backbone_of(s)[0][0]: torch.zeros(32, 3, 5, 5)},
            FOUR,
            r"is of shape \(32, 3, 5, 5\), but it takes the place of",
        ),
        (
            lambda s: s,
            ("zero", "skip", "skip", "separable_3x3"),
            "belongs to none of the operations that were named",
        ),
        (
            lambda s: s,
            ("zero", "skip", "dilated_3x3", "dilated_3x3"),
            "ops.3.operation.4.* belongs to none",
        ),
        (
            lambda s: s | {"head_part.betas": s["head_part.betas"] * torch.nan},
            FOUR,
            "head_part.betas holds numbers",
        ),
        (
            lambda s: {k: v * torch.nan if "backbone" in k else v for k, v in s.items()},
            FOUR,
            r"backbone\.\S+ holds num",
        ),
        (
            lambda s: {k: torch.zeros(()) if k.endswith("alphas") else v for k, v in s.items()},
            FOUR,
            "not laid out",
        ),
        (
            lambda s: {
                k: v[0, 0, 0] if "final_layer" in k and v.ndim == 4 else v for k, v in s.items()
            },
            FOUR,
            "are no multiple of the keypoints",
        ),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused(state, change, operations, message, tmp_path):
    torch.save(change(state), tmp_path / "bad.pth")
    with pytest.raises(ReleasedError, match=message) as error:
        load_released(tmp_path / "bad.pth", operations)
    assert "bad.pth" in str(error.value)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("broken_into",)


def test_file_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Malicious()}, "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Malicious()))
    for name in ("evil.pth", "plain.pth"):
        with pytest.raises(ReleasedError, match="would run code"):
            load_released(name)
    assert not (tmp_path / "broken_into").exists()
    with pytest.raises(FileNotFoundError, match="no checkpoint at nowhere"):
        load_released("nowhere.pth")
