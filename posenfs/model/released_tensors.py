"""Copies the tensors of the authors' released checkpoints into modules of posenfs."""

import re
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from posenfs.errors import PosenfsError
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.fabric import Cell, Fabric
from posenfs.model.operations import DepthwiseSeparable, Pool, Separable
from posenfs.model.transfers import Down, Same, Up

_SLOTS = (1, 0, 2)  # finer, same, coarser of posenfs among same, finer, coarser of the file


class ReleasedError(PosenfsError, ValueError):
    """The layout of a checkpoint differs from that of the authors' checkpoints.

    The message names the file, what is wrong and the next step.
    """


class ReleasedTensors:
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
        target.copy_(self._finite(key))
        self.used_keys.add(key)

    def _finite(self, key: str) -> Tensor:
        """Return a tensor of the file; raise ReleasedError where it is missing or not finite."""
        if key not in self.state:
            raise ReleasedError(f"{self.path}: {key} is not there")
        if not self.state[key].isfinite().all():
            raise ReleasedError(f"{self.path}: {key} holds numbers that are not finite")
        return self.state[key]

    def load_fabric(self, fabric: Fabric, name: str) -> None:
        """Copy alpha, beta and all cells of a fabric."""
        alpha, beta = (self._finite(f"{name}.{kind}") for kind in ("alphas", "betas"))
        if beta.shape != fabric.beta.shape:
            raise ReleasedError(f"{self.path}: {name}.betas do not fit {tuple(fabric.beta.shape)}")
        # Edges beyond these belong to an input node that the authors' code never uses.
        fabric.alpha.copy_(alpha[..., : len(fabric.spec.edges), :])
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
        elif isinstance(operation, Pool):  # the authors put pool and batch-norm in a sequence
            in_sequence = f"{key}.1.running_mean" in self.state
            self.load_module(operation.norm, f"{key}.1" if in_sequence else f"{key}.operation.1")

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
        without_bias = False
        if isinstance(backbone, FabricBackbone):
            self.load_fabric(backbone.fabric, "backbone")
            backbone = backbone.stem
            fabric_keys = r"backbone\.(alphas|betas|cell_|final_layer)"
            keys = [key for key in keys if not re.match(fabric_keys, key)]
            without_bias = bool(keys) and self.state[keys[-1]].ndim == 4
        targets = {
            name: tensor for name, tensor in backbone.state_dict().items() if not _is_counter(name)
        }
        if without_bias:  # the last convolution of the authors' stem has none
            targets.popitem()[1].zero_()
        for (name, tensor), key in zip(targets.items(), keys, strict=False):
            if name.rpartition(".")[2] != key.rpartition(".")[2]:  # a weight and a bias, perhaps
                raise ReleasedError(
                    f"{self.path}: the backbone's tensors are not in the order of their layers: "
                    f"{key} stands in the place of {name}; use the file that torch.save wrote"
                )
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
