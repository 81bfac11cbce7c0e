"""The authors' released checkpoints, read without configuration files, under RELEASED rules."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from posenfs.body.parts import PartScheme, part_scheme
from posenfs.body.skeleton import COCO, MPII, Skeleton
from posenfs.errors import PosenfsError
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.mobilenet_v2 import MobileNetV2
from posenfs.model.backbones.resnet import ResNet50
from posenfs.model.fabric import Cell, Fabric
from posenfs.model.network import PoseNFS
from posenfs.model.operations import DepthwiseSeparable, Pool, Separable
from posenfs.model.space import RELEASED, FabricSpec
from posenfs.model.transfers import Down, Same, Up

_SKELETONS = (MPII, COCO)
_SLOTS = (1, 0, 2)  # finer, same, coarser of posenfs among same, finer, coarser of the file
_COUNTERS = ("total_ops", "total_params")  # buffers that the package thop leaves behind


class ReleasedError(PosenfsError, ValueError):
    """The layout of a checkpoint differs from that of the authors' checkpoints.

    The message names the file, what is wrong and the next step.
    """


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
        skeleton: The skeleton; needed where the number of keypoints leaves a doubt.

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
    loader = _Loader(path, state)
    with torch.no_grad():
        for number, (name, head) in enumerate(zip(names, model.heads, strict=True)):
            for level, entry in enumerate(head.entries):
                loader.load_module(entry, f"reduce.{number}.{level}")
            loader.load_fabric(head.fabric, name)
            loader.load_module(head.vectors, f"{name}.final_layer.1")
        loader.load_backbone(backbone)
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


def _backbone(path: Path, state: dict[str, Tensor], operations: Sequence[str]) -> nn.Module:
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


class _Loader:
    """Copies tensors of the file into modules of posenfs.

    It raises ReleasedError where a tensor is missing or has another shape.
    """

    def __init__(self, path: Path, state: dict[str, Tensor]):
        self.path, self.state = path, state
        self.used_keys: set[str] = set()

    def load_module(self, module: nn.Module, key: str) -> None:
        """Copy all parameters and buffers of one convolution or batch-norm."""
        for name, tensor in module.state_dict().items():
            self._copy(tensor, f"{key}.{name}")

    def _copy(self, target: Tensor, key: str) -> None:
        if key not in self.state and key.endswith("num_batches_tracked"):
            return
        source = self.state.get(key)
        if source is None or source.shape != target.shape:
            problem = "not there" if source is None else f"of shape {tuple(source.shape)}"
            raise ReleasedError(f"{self.path}: {key} is {problem}; expected {tuple(target.shape)}")
        self._check_finite(source, key)
        target.copy_(source)
        self.used_keys.add(key)

    def _check_finite(self, tensor: Tensor, key: str) -> None:
        if not tensor.isfinite().all():
            raise ReleasedError(f"{self.path}: {key} holds numbers that are not finite")

    def load_fabric(self, fabric: Fabric, name: str) -> None:
        """Copy alpha, beta and all cells of a fabric."""
        self._copy(fabric.alpha, f"{name}.alphas")
        key = f"{name}.betas"
        beta = self.state.get(key)
        if beta is None or beta.shape != fabric.beta.shape:
            raise ReleasedError(f"{self.path}: {key} do not fit {tuple(fabric.beta.shape)}")
        self._check_finite(beta, key)
        fabric.beta.copy_(beta[:, list(_SLOTS)])
        for index, cell in fabric.cells.items():
            cell_key = f"{name}.cell_{index.layer}_{index.row}"
            self._load_cell(cell, cell_key, fabric.spec.operations)

    def _load_cell(self, cell: Cell, key: str, operations: Sequence[str]) -> None:
        for slot, transfer in zip(_SLOTS, cell.transfers, strict=True):
            self._load_transfer(transfer, f"{key}.propress_list.{slot}")
        for edge, candidates in enumerate(cell.edges):
            for number, operation in enumerate(candidates):
                self._load_operation(operation, f"{key}.cell_arch.{edge}.ops.{number}")
        self.load_module(cell.project, f"{key}.channel_keep")
        # Edges beyond these belong to a node that the authors' code creates but never uses.
        edge_prefixes = tuple(f"{key}.cell_arch.{edge}." for edge in range(len(cell.edges)))
        for name in self.state:
            if not name.startswith(edge_prefixes) or name.endswith("num_batches_tracked"):
                continue
            if name not in self.used_keys:
                raise ReleasedError(
                    f"{self.path}: {name} belongs to none of the operations that were named "
                    f"({', '.join(operations)}); give them in the order of its configuration"
                )

    def _load_transfer(self, transfer: nn.Module, key: str) -> None:
        if isinstance(transfer, Down):
            self.load_module(transfer.conv, f"{key}.operation.0")
            self.load_module(transfer.norm, f"{key}.operation.1")
        elif isinstance(transfer, Up):
            self.load_module(transfer.conv, f"{key}.conv_1x1")
            self.load_module(transfer.norm, f"{key}.bn")
        else:
            assert isinstance(transfer, Same)  # it has no tensors

    def _load_operation(self, operation: nn.Module, key: str) -> None:
        if isinstance(operation, Separable):
            self._load_block(operation.first, f"{key}.operation", 0)
            self._load_block(operation.second, f"{key}.operation", 4)
        elif isinstance(operation, DepthwiseSeparable):
            self._load_block(operation, f"{key}.operation", 0)
        elif isinstance(operation, Pool):
            self.load_module(operation.norm, f"{key}.operation.1")

    def _load_block(self, block: DepthwiseSeparable, key: str, first: int) -> None:
        layers = block.depthwise, block.pointwise, block.norm
        for number, module in enumerate(layers, start=first):
            self.load_module(module, f"{key}.{number}")

    def load_backbone(self, backbone: nn.Module) -> None:
        """Copy the backbone: HRNet by name, others tensor by tensor in the same order."""
        if isinstance(backbone, HRNet):
            for name, tensor in backbone.state_dict().items():
                self._copy(tensor, f"backbone.{name}")
            return
        keys = [key for key in self.state if key.startswith("backbone.") and not _is_counter(key)]
        if isinstance(backbone, FabricBackbone):
            self.load_fabric(backbone.fabric, "backbone")
            backbone = backbone.stem
            keys = [key for key in keys if not re.match(r"backbone\.(alphas|betas|cell_)", key)]
        targets = {
            name: tensor for name, tensor in backbone.state_dict().items() if not _is_counter(name)
        }
        for (name, tensor), key in zip(targets.items(), keys, strict=False):
            if self.state[key].shape != tensor.shape:
                raise ReleasedError(
                    f"{self.path}: {key} is of shape {tuple(self.state[key].shape)}, but it takes "
                    f"the place of {name} of shape {tuple(tensor.shape)}"
                )
            self._copy(tensor, key)
        if len(keys) < len(targets):
            raise ReleasedError(
                f"{self.path}: the backbone has {len(keys)} tensors, but {len(targets)} are needed"
            )


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")
