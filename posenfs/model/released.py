"""The authors' released checkpoints: read without their configuration files, under RELEASED rules."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from posenfs.body.parts import PartScheme, part_scheme
from posenfs.body.skeleton import COCO, MPII, Skeleton
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.mobilenet_v2 import MobileNetV2
from posenfs.model.backbones.resnet import ResNet50
from posenfs.model.fabric import Cell, Down, Fabric, Same
from posenfs.model.network import PoseNFS
from posenfs.model.operations import DepthwiseSeparable, Pool, Separable
from posenfs.model.space import RELEASED, FabricSpec

_SKELETONS = (MPII, COCO)
_SLOTS = (1, 0, 2)  # finer, same, coarser of ours among same, finer, coarser of theirs
_STRAY = ("total_ops", "total_params")


class ReleasedError(ValueError):
    """A checkpoint that is not as the authors' are. The message names the file, what is wrong and the next step."""


def load_released(
    path: str | Path,
    operations: Sequence[str] = ("zero", "skip", "dilated_3x3", "separable_3x3"),
    backbone_operations: Sequence[str] | None = None,
    skeleton: Skeleton | None = None,
) -> PoseNFS:
    """A released checkpoint as a PoseNFS under RELEASED rules, in eval mode.

    P, H, C, d, the layers kept and the backbone follow from names and shapes. What they do not tell is `operations`,
    the candidate operations in the order of the configuration that trained it (`backbone_operations` for those of a
    fabric backbone, by default the same); and the skeleton, where the number of keypoints leaves a doubt.

    Raises FileNotFoundError, and ReleasedError for a file that holds more than tensors, or does not fit.
    """
    path = Path(path)
    state = _read(path)
    try:
        return _model(path, state, operations, backbone_operations, skeleton)
    except (
        KeyError,
        IndexError,
        StopIteration,
        RuntimeError,
    ) as error:  # a tensor that is not there, or of no sense
        raise ReleasedError(
            f"{path} is not laid out as the authors' checkpoints are: {error!r:.150}"
        ) from None


def _model(
    path: Path,
    state: dict[str, Tensor],
    operations: Sequence[str],
    backbone_operations: Sequence[str] | None,
    skeleton: Skeleton | None,
) -> PoseNFS:
    names = list(
        dict.fromkeys(key.split(".")[0] for key in state if key.endswith(".final_layer.1.weight"))
    )
    if not names:
        raise ReleasedError(
            f"{path} holds no part (`<part>.final_layer.1.weight`); it is no released checkpoint"
        )
    spec = _spec(path, state, names[0], operations)
    parts, vector_dim = _parts(path, state, names, skeleton)
    backbone = _backbone(path, state, tuple(backbone_operations or operations))
    model = PoseNFS(backbone, parts, spec, vector_dim, RELEASED)
    loaded = _Loader(path, state)
    with torch.no_grad():
        for number, (name, head) in enumerate(zip(names, model.heads, strict=True)):
            for level, entry in enumerate(head.entries):
                loaded.copy(entry, f"reduce.{number}.{level}")
            loaded.fabric(head.fabric, name)
            loaded.copy(head.vectors, f"{name}.final_layer.1")
        loaded.backbone(backbone)
    model.initial_weights = f"released checkpoint {path.name}"
    return model.eval()


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of the file in float32, without wrappers around them."""
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ):  # of a foreign file torch raises nearly anything, and advises what is not safe
        raise ReleasedError(
            f"{path} cannot be read as tensors alone: it is no file of torch.save, or holds other things too. A file "
            "that would run code when loaded is refused: ask its author for a state dict"
        ) from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise ReleasedError(f"{path} holds a {type(content).__name__}, not a state dict")
    state = {
        str(key).removeprefix("module."): value
        for key, value in content.items()
        if isinstance(value, Tensor) and str(key).split(".")[-1] not in _STRAY
    }
    return {
        key: value.float() if value.is_floating_point() else value for key, value in state.items()
    }


def _spec(path: Path, state: dict[str, Tensor], name: str, operations: Sequence[str]) -> FabricSpec:
    """The fabric of a part: layers from the names of its cells, C and H from shapes."""
    alpha, cells = state.get(f"{name}.alphas"), _cells(state, name)
    if alpha is None or not cells:
        raise ReleasedError(f"{path}: {name} has no alphas or no cells")
    width = state[f"{name}.final_layer.1.weight"].shape[1] // 4
    return _fabric_spec(
        path, name, alpha, cells, operations, width, layers=max(layer for layer, _ in cells) + 1
    )


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
            f"{path}: alphas of {name} weigh {alpha.shape[-1]} operations, but {len(operations)} were named "
            f"({', '.join(operations)}); give them in the order of its configuration"
        )
    hidden = next((h for h in range(1, 20) if h * (h + 1) // 2 == alpha.shape[-2]), None)
    if hidden is None:
        raise ReleasedError(
            f"{path}: alphas of {name} have {alpha.shape[-2]} edges, which no number of hidden nodes has"
        )
    first = min(layer for layer, _ in cells)
    spec = FabricSpec(
        layers=layers, width=width, hidden_nodes=hidden, operations=tuple(operations), first=first, last=last,
        alpha_per_cell=alpha.ndim == 3,
    )  # fmt: skip
    if {tuple(cell) for cell in spec.cells} != cells:
        raise ReleasedError(
            f"{path}: the cells of {name} are {sorted(cells)}, not those of a fabric of {layers} layers"
        )
    return spec


def _cells(state: dict[str, Tensor], name: str) -> set[tuple[int, int]]:
    found = (re.match(rf"{re.escape(name)}\.cell_(\d+)_(\d+)\.", key) for key in state)
    return {(int(match[1]), int(match[2])) for match in found if match}


def _parts(
    path: Path, state: dict[str, Tensor], names: list[str], skeleton: Skeleton | None
) -> tuple[PartScheme, int]:
    """The part scheme in the order of the file, and d: of the skeletons the one whose keypoints divide the channels."""
    channels = [len(state[f"{name}.final_layer.1.weight"]) for name in names]
    fitting = {}
    for candidate in (skeleton,) if skeleton else _SKELETONS:
        try:
            known = {part.name: part for part in part_scheme(candidate, len(names))}
            scheme = tuple(known[name] for name in names)
        except (ValueError, KeyError):
            raise ReleasedError(
                f"{path}: the parts {', '.join(names)} are not those of Table I"
            ) from None
        dims = {divmod(c, len(part.keypoints)) for c, part in zip(channels, scheme, strict=True)}
        if len(dims) == 1 and (found := next(iter(dims)))[1] == 0:
            fitting[candidate.name] = scheme, found[0]
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    counts = ", ".join(f"{name}: {count}" for name, count in zip(names, channels, strict=True))
    if fitting:
        raise ReleasedError(
            f"{path} fits {' and '.join(fitting)} ({counts}); say which: skeleton=MPII or skeleton=COCO"
        )
    raise ReleasedError(
        f"{path}: channels of the parts ({counts}) are no multiple of the keypoints of any skeleton"
    )


def _backbone(path: Path, state: dict[str, Tensor], operations: Sequence[str]) -> nn.Module:
    """Known by its names: features (MobileNet-V2), stage2 (HRNet), layer4 (ResNet-50), cells (a fabric)."""
    keys = {
        key.removeprefix("backbone.").split(".")[0] for key in state if key.startswith("backbone.")
    }
    if "features" in keys:
        return MobileNetV2()
    if "stage2" in keys:
        return HRNet()
    if "layer4" in keys:
        return ResNet50()
    cells = _cells(state, "backbone")
    if not cells:
        raise ReleasedError(
            f"{path}: no known backbone; its tensors begin with {', '.join(sorted(keys)[:8]) or 'nothing'}"
        )
    end = max(layer for layer, _ in cells) + 1
    width = (
        next(v.shape[0] for k, v in state.items() if k.endswith("cell_0_0.channel_keep.weight"))
        // 4
    )
    layers = end + 3  # where the narrowing begins that a backbone leaves out
    spec = _fabric_spec(
        path, "backbone", state["backbone.alphas"], cells, operations, width, layers, last=end
    )
    return FabricBackbone(spec, RELEASED)


class _Loader:
    """Copies tensors of the file into modules of ours; raises ReleasedError where one lacks or has another shape."""

    def __init__(self, path: Path, state: dict[str, Tensor]):
        self.path, self.state = path, state
        self.read: set[str] = set()

    def copy(self, module: nn.Module, key: str) -> None:
        """All parameters and buffers of one convolution or batch-norm."""
        for name, tensor in module.state_dict().items():
            self._copy(tensor, f"{key}.{name}")

    def _copy(self, target: Tensor, key: str) -> None:
        if key not in self.state and key.endswith("num_batches_tracked"):
            return
        found = self.state.get(key)
        if found is None or found.shape != target.shape:
            shape = "not there" if found is None else f"of shape {tuple(found.shape)}"
            raise ReleasedError(f"{self.path}: {key} is {shape}; expected {tuple(target.shape)}")
        if not found.isfinite().all():
            raise ReleasedError(f"{self.path}: {key} holds numbers that are not finite")
        target.copy_(found)
        self.read.add(key)

    def fabric(self, fabric: Fabric, name: str) -> None:
        self._copy(fabric.alpha, f"{name}.alphas")
        beta = self.state.get(f"{name}.betas")
        if beta is None or beta.shape != fabric.beta.shape:
            raise ReleasedError(f"{self.path}: {name}.betas do not fit {tuple(fabric.beta.shape)}")
        if not beta.isfinite().all():
            raise ReleasedError(f"{self.path}: {name}.betas holds numbers that are not finite")
        fabric.beta.copy_(beta[:, list(_SLOTS)])
        for index, cell in zip(fabric.spec.cells, _all_cells(fabric), strict=True):
            self._cell(cell, f"{name}.cell_{index.layer}_{index.row}", fabric.spec.operations)

    def _cell(self, cell: Cell, key: str, operations: Sequence[str]) -> None:
        for slot, transfer in zip(_SLOTS, cell.transfers, strict=True):
            place = f"{key}.propress_list.{slot}"
            if isinstance(transfer, Same):
                continue
            conv, norm = (
                ("operation.0", "operation.1") if isinstance(transfer, Down) else ("conv_1x1", "bn")
            )
            self.copy(transfer.conv, f"{place}.{conv}")
            self.copy(transfer.norm, f"{place}.{norm}")
        for edge, candidates in enumerate(cell.edges):
            for number, operation in enumerate(candidates):
                self._operation(operation, f"{key}.cell_arch.{edge}.ops.{number}")
        self.copy(cell.project, f"{key}.channel_keep")
        live = tuple(
            f"{key}.cell_arch.{edge}." for edge in range(len(cell.edges))
        )  # those beyond are a dead node's
        for name in self.state:
            if (
                name.startswith(live)
                and name not in self.read
                and not name.endswith("num_batches_tracked")
            ):
                raise ReleasedError(
                    f"{self.path}: {name} belongs to none of the operations that were named ({', '.join(operations)}); "
                    "give them in the order of its configuration"
                )

    def _operation(self, operation: nn.Module, key: str) -> None:
        if isinstance(operation, Separable):
            self._depthwise(operation.first, f"{key}.operation", 0)
            self._depthwise(operation.second, f"{key}.operation", 4)
        elif isinstance(operation, DepthwiseSeparable):
            self._depthwise(operation, f"{key}.operation", 0)
        elif isinstance(operation, Pool):
            self.copy(operation.norm, f"{key}.operation.1")

    def _depthwise(self, block: DepthwiseSeparable, key: str, first: int) -> None:
        for number, module in enumerate(
            (block.depthwise, block.pointwise, block.norm), start=first
        ):
            self.copy(module, f"{key}.{number}")

    def backbone(self, backbone: nn.Module) -> None:
        """By name where the names are ours, else tensor by tensor in their order, the shapes being the same."""
        if isinstance(backbone, FabricBackbone):
            self.fabric(backbone.fabric, "backbone")
            backbone = backbone.stem
            keys = [k for k in self.state if k.startswith("backbone.") and not _of_fabric(k)]
        elif isinstance(backbone, HRNet):
            for name, tensor in backbone.state_dict().items():
                self._copy(tensor, f"backbone.{name}")
            return
        else:
            keys = [k for k in self.state if k.startswith("backbone.")]
        keys = [k for k in keys if not k.endswith("num_batches_tracked")]
        own = {
            k: t for k, t in backbone.state_dict().items() if not k.endswith("num_batches_tracked")
        }
        for (name, tensor), key in zip(own.items(), keys, strict=False):
            if self.state[key].shape != tensor.shape:
                raise ReleasedError(
                    f"{self.path}: {key} is of shape {tuple(self.state[key].shape)}, in the place of our {name} "
                    f"{tuple(tensor.shape)}"
                )
            self._copy(tensor, key)
        if len(keys) < len(own):
            raise ReleasedError(
                f"{self.path}: the backbone has {len(keys)} tensors, fewer than our {len(own)}"
            )


def _of_fabric(key: str) -> bool:
    return bool(re.match(r"backbone\.(alphas|betas|cell_)", key))


def _all_cells(fabric: Fabric) -> Iterator[Cell]:
    return (cell for layer in fabric.layers for cell in layer)
