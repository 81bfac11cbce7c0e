"""The authors' released checkpoints, read without configuration files, under RELEASED rules."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from posenfs.body.parts import PartScheme, part_scheme
from posenfs.body.skeleton import COCO, MPII, Skeleton
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.pretrained import Backbone
from posenfs.model.backbones.torchvision_backbones import MobileNetV2, ResNet50
from posenfs.model.network import PoseNFS
from posenfs.model.released_tensors import ReleasedError, ReleasedTensors
from posenfs.model.space import RELEASED, FabricSpec

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
    names = list(dict.fromkeys(names))
    if not names:
        raise ReleasedError(
            f"{path} holds no part (`<part>.final_layer.1.weight`); it is no released checkpoint"
        )
    spec = _head_spec(path, state, names[0], operations)
    parts, vector_dim = _parts(path, state, names, skeleton)
    backbone = _backbone(path, state, tuple(backbone_operations or operations))
    model = PoseNFS(backbone, parts, spec, vector_dim, RELEASED)
    tensors = ReleasedTensors(path, state)
    with torch.no_grad():
        for number, (name, head) in enumerate(zip(names, model.heads, strict=True)):
            for level, entry in enumerate(head.entries):
                if entry is not None:
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
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises nearly any exception for a foreign file, with unsafe advice
        raise ReleasedError(
            f"{path} cannot be read as tensors alone: it is no file of torch.save, or it holds "
            "other things too. A file that would run code when loaded is refused: ask its author "
            "for a state dict"
        ) from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise ReleasedError(f"{path} holds a {type(content).__name__}, not a state dict")
    state = {}
    for key, value in content.items():
        name = str(key).removeprefix("module.")
        if isinstance(value, Tensor) and name.split(".")[-1] not in _COUNTERS:
            state[name] = value.float() if value.is_floating_point() else value
    return state


def _head_spec(
    path: Path, state: dict[str, Tensor], name: str, operations: Sequence[str]
) -> FabricSpec:
    """Return the fabric of a part: layers from the names of its cells, C and H from shapes."""
    alpha, cells = state.get(f"{name}.alphas"), _cells(state, name)
    if alpha is None or not cells:
        raise ReleasedError(f"{path}: {name} has no alphas or no cells")
    width = state[f"{name}.final_layer.1.weight"].shape[1] // 4
    layers = max(layer for layer, _ in cells) + 1
    return _fabric_spec(path, name, alpha, cells, operations, width, layers)


def _fabric_spec(
    path: Path,
    name: str,
    alpha: Tensor,
    cells: set[tuple[int, int]],
    operations: Sequence[str],
    width: int,
    layers: int,
    last: int | None = None,
) -> FabricSpec:
    if alpha.shape[-1] != len(operations):
        raise ReleasedError(
            f"{path}: alphas of {name} weigh {alpha.shape[-1]} operations, but {len(operations)} "
            f"were named ({', '.join(operations)}); give them in the order of its configuration"
        )
    spec = FabricSpec(
        layers=layers,
        width=width,
        hidden_nodes=_hidden_nodes(path, name, alpha.shape[-2]),
        operations=tuple(operations),
        first=min(layer for layer, _ in cells),
        last=last,
        alpha_per_cell=alpha.ndim == 3,
    )
    if {tuple(cell) for cell in spec.cells} != cells:
        raise ReleasedError(
            f"{path}: the cells of {name} are {sorted(cells)}, not those of a fabric of {layers} "
            "layers"
        )
    return spec


def _hidden_nodes(path: Path, name: str, edges: int) -> int:
    """Return the number of hidden nodes H of cells with H (H + 1) / 2 edges."""
    for hidden_nodes in range(1, 20):
        if hidden_nodes * (hidden_nodes + 1) // 2 == edges:
            return hidden_nodes
    raise ReleasedError(
        f"{path}: alphas of {name} have {edges} edges, which fits no number of hidden nodes"
    )


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
    width = state["backbone.cell_0_0.channel_keep.weight"].shape[0] // 4
    alpha = state["backbone.alphas"]
    spec = _fabric_spec(path, "backbone", alpha, cells, operations, width, layers, last=end)
    return FabricBackbone(spec, RELEASED)
