"""The authors' released checkpoints, read without configuration files, under RELEASED rules."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from posenfs.body.parts import PartScheme, part_scheme
from posenfs.body.skeleton import COCO, MPII, Skeleton
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.pretrained import Backbone
from posenfs.model.backbones.torchvision_backbones import MobileNetV2, ResNet50
from posenfs.model.network import PoseNFS
from posenfs.model.released_tensors import ReleasedError, ReleasedTensors
from posenfs.model.space import RELEASED, FabricSpec
from posenfs.model.state_dicts import WeightsError, read_state_dict

_SKELETONS = (MPII, COCO)
_COUNTERS = ("total_ops", "total_params")  # buffers that the package thop leaves behind


def load_released(
    path: str | Path,
    operations: Sequence[str] = ("zero", "skip", "dilated_3x3", "separable_3x3"),
    backbone_operations: Sequence[str] | None = None,
    skeleton: Skeleton | None = None,
) -> PoseNFS:
    """Load a released checkpoint as a PoseNFS under RELEASED rules, in eval mode.

    P, H, C, d, the kept layers and the backbone follow from the names and shapes of the tensors.

    Args:
        path: The checkpoint.
        operations: The candidate operations, in the order of the configuration of its training;
            the file does not contain them.
        backbone_operations: The operations of a fabric backbone; None: the same.
        skeleton: The skeleton; needed only if the number of keypoints is ambiguous.

    Raises:
        FileNotFoundError: There is no such file.
        ReleasedError: The file holds more than tensors, or its tensors do not fit.
    """
    path = Path(path)
    state = _read(path)
    try:
        return _build(path, state, operations, backbone_operations, skeleton)
    except (KeyError, IndexError, RuntimeError) as error:  # a tensor is missing or malformed
        raise ReleasedError(
            f"{path} is not laid out as the authors' checkpoints are: {error!r:.150}"
        ) from None


def _build(
    path: Path,
    state: dict[str, Tensor],
    operations: Sequence[str],
    backbone_operations: Sequence[str] | None,
    skeleton: Skeleton | None,
) -> PoseNFS:
    names = [key.split(".")[0] for key in state if key.endswith(".final_layer.1.weight")]
    names = [name for name in dict.fromkeys(names) if name != "backbone"]
    if not names:
        raise ReleasedError(
            f"{path} holds no part (`<part>.final_layer.1.weight`); it is no released checkpoint"
        )
    spec = _head_spec(path, state, names[0], operations)
    parts, vector_dim = _parts(path, state, names, skeleton)
    backbone = _backbone(path, state, tuple(backbone_operations or operations))
    # Where the backbone fits the heads the authors' network has no entries; others may have some.
    has_entries = any(key.startswith("reduce.") for key in state)
    always_entries = has_entries and spec.fits(backbone.channels)
    rules = replace(RELEASED, always_entries=always_entries)
    model = PoseNFS(backbone, parts, spec, vector_dim, rules)
    tensors = ReleasedTensors(path, state)
    with torch.no_grad():
        for number, (name, head) in enumerate(zip(names, model.heads, strict=True)):
            for level, entry in enumerate(head.entries):
                if isinstance(entry, nn.Conv2d):
                    tensors.load_module(entry, f"reduce.{number}.{level}")
            tensors.load_fabric(head.fabric, name)
            tensors.load_module(head.vectors, f"{name}.final_layer.1")
        tensors.load_backbone(backbone)
    model.initial_weights = f"released checkpoint {path.name}"
    return model.eval()


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of the file in float32, without wrappers around them."""
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        state = read_state_dict(path)
    except WeightsError as error:
        raise ReleasedError(str(error)) from None
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
        if name.split(".")[-1] not in _COUNTERS
    }


def _head_spec(
    path: Path, state: dict[str, Tensor], name: str, operations: Sequence[str]
) -> FabricSpec:
    """Return the fabric of a part: layers from the names of its cells, C and H from shapes."""
    cells = _cells(state, name)
    if f"{name}.alphas" not in state or not cells:
        raise ReleasedError(f"{path}: {name} has no alphas or no cells")
    layers = max(layer for layer, _ in cells) + 1
    return _fabric_spec(path, state, name, cells, operations, layers)


def _fabric_spec(
    path: Path,
    state: dict[str, Tensor],
    name: str,
    cells: set[tuple[int, int]],
    operations: Sequence[str],
    layers: int,
    last: int | None = None,
) -> FabricSpec:
    alpha, first = state[f"{name}.alphas"], min(layer for layer, _ in cells)
    if alpha.shape[-1] != len(operations):
        option = "--backbone-operations" if name == "backbone" else "--operations"
        raise ReleasedError(
            f"{path}: alphas of {name} weigh {alpha.shape[-1]} operations, but {len(operations)} "
            f"were named ({', '.join(operations)}); give them in the order of its configuration "
            f"({option})"
        )
    # The projection of a cell: [C * stride, H * C * stride, 1, 1].
    channels, hidden_channels = state[f"{name}.cell_{first}_0.channel_keep.weight"].shape[:2]
    spec = FabricSpec(
        layers=layers,
        width=channels // 4,
        hidden_nodes=hidden_channels // channels,
        operations=tuple(operations),
        first=first,
        last=last,
        alpha_per_cell=alpha.ndim == 3,
    )
    edges = len(spec.edges)
    # With the second, unused input node of a cell there is one more edge to each hidden node.
    if alpha.shape[-2] not in (edges, edges + spec.hidden_nodes):
        raise ReleasedError(
            f"{path}: alphas of {name} have {alpha.shape[-2]} edges; cells of {spec.hidden_nodes} "
            f"hidden nodes have {edges}, or {edges + spec.hidden_nodes} with a second input node"
        )
    if {tuple(cell) for cell in spec.cells} != cells:
        raise ReleasedError(
            f"{path}: the cells of {name} are {sorted(cells)}, not those of a fabric of {layers} "
            "layers"
        )
    return spec


def _cells(state: dict[str, Tensor], name: str) -> set[tuple[int, int]]:
    """Return the cells (layer, row) of a fabric, from the names of its tensors."""
    pattern = re.compile(rf"{re.escape(name)}\.cell_(\d+)_(\d+)\.")
    matches = [pattern.match(key) for key in state]
    return {(int(match[1]), int(match[2])) for match in matches if match}


def _parts(
    path: Path, state: dict[str, Tensor], names: list[str], skeleton: Skeleton | None
) -> tuple[PartScheme, int]:
    """Return the part scheme in the order of the file, and d.

    The skeleton is the one whose numbers of keypoints divide the channels of all parts.
    """
    channels = [len(state[f"{name}.final_layer.1.weight"]) for name in names]
    fitting: dict[str, tuple[PartScheme, int]] = {}
    for candidate in (skeleton,) if skeleton else _SKELETONS:
        try:
            parts_by_name = {part.name: part for part in part_scheme(candidate, len(names))}
            scheme = tuple(parts_by_name[name] for name in names)
        except (ValueError, KeyError):
            raise ReleasedError(
                f"{path}: the parts {', '.join(names)} are not those of Table I"
            ) from None
        pairs = zip(channels, scheme, strict=True)
        quotients = {divmod(count, len(part.keypoints)) for count, part in pairs}
        if len(quotients) == 1:
            vector_dim, remainder = quotients.pop()
            if remainder == 0:
                fitting[candidate.name] = scheme, vector_dim
    if len(fitting) == 1:
        return fitting.popitem()[1]
    counts = ", ".join(f"{name}: {count}" for name, count in zip(names, channels, strict=True))
    if fitting:
        raise ReleasedError(
            f"{path} fits {' and '.join(fitting)} ({counts}); pass skeleton=MPII or skeleton=COCO"
        )
    raise ReleasedError(
        f"{path}: channels of the parts ({counts}) are no multiple of the keypoints of any skeleton"
    )


def _backbone(path: Path, state: dict[str, Tensor], operations: Sequence[str]) -> Backbone:
    """Create the backbone that the names of the tensors show.

    features: MobileNet-V2; stage2: HRNet; layer4: ResNet-50; cells: a fabric.
    """
    prefix = "backbone."
    keys = {key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)}
    if "features" in keys:
        return MobileNetV2()
    if "stage2" in keys:
        return HRNet()
    if "layer4" in keys:
        return ResNet50()
    cells = _cells(state, "backbone")
    if not cells:
        raise ReleasedError(
            f"{path}: no known backbone; its tensors begin with "
            f"{', '.join(sorted(keys)[:8]) or 'nothing'}"
        )
    end = max(layer for layer, _ in cells) + 1
    layers = end + 3  # the whole fabric includes the narrowing layers that a backbone leaves out
    spec = _fabric_spec(path, state, "backbone", cells, operations, layers, last=end)
    return FabricBackbone(spec, RELEASED)
