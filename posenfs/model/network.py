"""The whole network (Fig. 3): a shared backbone, and for each body part a fabric that ends in vectors."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from posenfs.body.parts import Part, PartScheme
from posenfs.model.architecture import Architecture, Genotype
from posenfs.model.fabric import Fabric
from posenfs.model.space import PAPER, FabricSpec, Rules
from posenfs.model.vectors import gather_parts, scores


class PartHead(nn.Module):
    """Pyramid -> vectors of one part: 1x1 entries, a fabric, ReLU, a 1x1 convolution to J * d channels."""

    def __init__(self, part: Part, channels: tuple[int, ...], spec: FabricSpec, vector_dim: int, rules: Rules = PAPER):
        super().__init__()
        if spec.input_rows != len(channels):
            raise ValueError(f"a head whose layer {spec.first} reads {spec.input_rows} maps got {len(channels)}")
        self.keypoints, self.vector_dim = len(part.keypoints), vector_dim
        self.entries = nn.ModuleList(nn.Conv2d(c, spec.channels(row), 1) for row, c in enumerate(channels))
        self.fabric = Fabric(spec, rules)
        self.vectors = nn.Conv2d(spec.channels(0), self.keypoints * vector_dim, 1)  # channel = keypoint * d + component

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Four maps, finest first -> vectors [B, J, d, h, w] at the finest stride."""
        finest = self.fabric([entry(x) for entry, x in zip(self.entries, pyramid, strict=True)])[0]
        return self.vectors(F.relu(finest)).unflatten(1, (self.keypoints, self.vector_dim))


class PoseNetwork(nn.Module):
    """Images [B, 3, H, W] -> score maps [B, K, H/4, W/4]; what a search asks of a network, searched or not.

    `initial_weights` says in words where its first weights come from.
    """

    initial_weights = "random"
    stride = 32  # the largest one: it must divide an image

    def __init__(self, parts: PartScheme):
        super().__init__()
        self.parts = parts
        self.keypoints = 1 + max(k for part in parts for k in part.keypoints)

    def fabrics(self) -> dict[str, Fabric]:
        """Every fabric by name; none where nothing is searched."""
        return {}

    def architectures(self) -> dict[str, Architecture]:
        """The live alpha and beta of every fabric."""
        return {name: fabric.architecture for name, fabric in self.fabrics().items()}

    def genotypes(self, zero: bool = True) -> dict[str, Genotype]:
        """The discrete reading of every fabric; `zero` as in Architecture.genotype."""
        return {name: fabric.architecture.genotype(fabric.spec, zero) for name, fabric in self.fabrics().items()}

    def architecture_parameters(self) -> list[nn.Parameter]:
        """All alpha and beta."""
        return [p for fabric in self.fabrics().values() for p in (fabric.alpha, fabric.beta)]

    def weight_parameters(self) -> list[nn.Parameter]:
        """All other parameters: the w of the paper."""
        architecture = {id(p) for p in self.architecture_parameters()}
        return [p for p in self.parameters() if id(p) not in architecture]

    def check(self, images: Tensor) -> None:
        """Raise ValueError where the largest stride does not divide the images."""
        check_image_size(images.shape[-2], images.shape[-1], self.stride)


class PoseNFS(PoseNetwork):
    """Pose Neural Fabrics: images -> one score map per keypoint, at the finest stride of the fabrics.

    `recompute`: where there is a backward pass, what the backbone and each head computed is not kept for it, but
    computed again: the same numbers from less memory, in more time.
    """

    recompute = False
    heads: Sequence[PartHead]  # a ModuleList

    def __init__(
        self,
        backbone: nn.Module,
        parts: PartScheme,
        spec: FabricSpec | None = None,
        vector_dim: int = 8,
        rules: Rules = PAPER,
    ):
        super().__init__(parts)
        spec = FabricSpec() if spec is None else spec
        if vector_dim < 1:
            raise ValueError(f"vector_dim must be at least 1; got {vector_dim}")
        if spec.strides != backbone.strides:
            raise ValueError(f"fabrics of strides {spec.strides} on a backbone of strides {backbone.strides}")
        self.backbone, self.spec, self.stride = backbone, spec, spec.strides[-1]
        self.initial_weights = backbone.initial_weights
        self.heads = nn.ModuleList(PartHead(part, backbone.channels, spec, vector_dim, rules) for part in parts)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> score maps [B, K, H/4, W/4]; raises ValueError where the largest stride does not divide."""
        return gather_parts((scores(v) for v in self.part_vectors(images)), self.parts, self.keypoints)

    def part_vectors(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> the vectors [B, J, d, H/4, W/4] of each part."""
        self.check(images)
        run: Callable[..., Any] = _recomputing if self.recompute and torch.is_grad_enabled() else nn.Module.__call__
        pyramid = run(self.backbone, images)
        return [run(head, pyramid) for head in self.heads]

    def with_architectures(self, architectures: Mapping[str, Architecture]) -> "PoseNFS":
        """A copy whose fabrics of these names have this alpha and beta; raises ValueError for an unknown name."""
        model = copy.deepcopy(self)
        model.set_architectures(architectures)
        return model

    @torch.no_grad()
    def set_architectures(self, architectures: Mapping[str, Architecture]) -> None:
        """Give the fabrics of these names this alpha and beta; raises ValueError for an unknown name."""
        fabrics = self.fabrics()
        if unknown := [name for name in architectures if name not in fabrics]:
            raise ValueError(f"no fabric {unknown[0]!r}; there are {', '.join(fabrics)}")
        for name, architecture in architectures.items():
            fabrics[name].alpha.copy_(architecture.alpha)
            fabrics[name].beta.copy_(architecture.beta)

    def fabrics(self) -> dict[str, Fabric]:
        """Every fabric by name: the parts', and the backbone's own where it is one."""
        named = {part.name: head.fabric for part, head in zip(self.parts, self.heads, strict=True)}
        own = getattr(self.backbone, "fabric", None)
        return named if own is None else {"backbone": own, **named}


def _recomputing(module: nn.Module, *inputs: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """module(*inputs), of which nothing is kept for the backward pass; batch-norms count what passes once."""
    return checkpoint(
        module, *inputs, use_reentrant=False, preserve_rng_state=False,
        context_fn=lambda: (contextlib.nullcontext(), batch_norms_kept(module)),
    )  # fmt: skip


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval mode meanwhile; whatever happens, it is left in its mode."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextlib.contextmanager
def batch_norms_kept(model: nn.Module) -> Iterator[None]:
    """Whatever passes through the model meanwhile, its running means and variances are as before."""
    kept = [buffer.clone() for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, before in zip(model.buffers(), kept, strict=True):
            buffer.copy_(before)


def check_image_size(height: int, width: int, stride: int) -> None:
    """Raise ValueError where the image is empty or the largest stride does not divide it."""
    if min(height, width) < 1 or height % stride or width % stride:
        near = f"{max(round(height / stride), 1) * stride} x {max(round(width / stride), 1) * stride}"
        raise ValueError(
            f"an image of {height} x {width} px (height x width) is not divisible by the largest stride {stride}; "
            f"the nearest size that is: {near}"
        )
