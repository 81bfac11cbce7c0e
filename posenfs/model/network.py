"""The whole network (Fig. 3): a shared backbone, and a fabric with vectors for each body part."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from posenfs.body.parts import PartScheme
from posenfs.model.architecture import Architecture, Genotype
from posenfs.model.backbones.pretrained import Backbone
from posenfs.model.fabric import Fabric
from posenfs.model.mask import FabricMask
from posenfs.model.operations import module_list
from posenfs.model.part_head import PartHead
from posenfs.model.space import PAPER, FabricSpec, Rules
from posenfs.model.vectors import gather_parts, scores


class PoseNetwork(nn.Module):
    """Images [B, 3, H, W] -> score maps [B, K, H/4, W/4]; base class of all networks.

    Attributes:
        initial_weights: The origin of the initial weights, as text.
        stride: The largest stride; it must divide the height and the width of an image.
        parts: The body parts.
        keypoints: K, the number of keypoints.
    """

    initial_weights: str = "random"
    stride = 32

    def __init__(self, parts: PartScheme):
        super().__init__()
        self.parts = parts
        self.keypoints = 1 + max(k for part in parts for k in part.keypoints)

    def fabrics(self) -> dict[str, Fabric]:
        """Return every searched fabric by name; empty where nothing is searched."""
        return {}

    def architectures(self) -> dict[str, Architecture]:
        """Return the current alpha and beta of every fabric, as parameters."""
        return {name: fabric.architecture for name, fabric in self.fabrics().items()}

    def genotypes(self, zero: bool = True) -> dict[str, Genotype]:
        """Return the genotype of every fabric; `zero` as in Architecture.genotype."""
        return {
            name: fabric.architecture.genotype(fabric.spec, zero)
            for name, fabric in self.fabrics().items()
        }

    def architecture_parameters(self) -> list[nn.Parameter]:
        """Return all alpha and beta."""
        return [p for fabric in self.fabrics().values() for p in (fabric.alpha, fabric.beta)]

    def weight_parameters(self) -> list[nn.Parameter]:
        """Return all other parameters: the w of the paper."""
        architecture = {id(p) for p in self.architecture_parameters()}
        return [p for p in self.parameters() if id(p) not in architecture]

    def check(self, images: Tensor) -> None:
        """Raise ValueError where the largest stride does not divide the size of the images."""
        check_image_size(images.shape[-2], images.shape[-1], self.stride)


class PoseNFS(PoseNetwork):
    """Pose Neural Fabrics: images -> one score map per keypoint, at the finest stride.

    It is a supernet whose alpha and beta are searched or, after `prune`, a network with fixed
    weights for operations and sources.

    Attributes:
        recompute: Whether the activations of the backbone and of each head are recomputed in the
            backward pass instead of stored: the same numbers with less memory in more time.
    """

    recompute = False
    heads: Sequence[PartHead]

    def __init__(
        self,
        backbone: Backbone,
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
            raise ValueError(
                f"the fabrics have strides {spec.strides}, but the backbone has strides "
                f"{backbone.strides}"
            )
        self.backbone: nn.Module = backbone
        self.spec, self.stride = spec, spec.strides[-1]
        self.initial_weights = backbone.initial_weights
        self.heads = module_list(
            PartHead(part, backbone.channels, spec, vector_dim, rules) for part in parts
        )

    def forward(self, images: Tensor) -> Tensor:
        """Compute the score maps.

        Args:
            images: The images, [B, 3, H, W].

        Returns:
            The score maps, [B, K, H/4, W/4].

        Raises:
            ValueError: The largest stride does not divide the size of the images.
        """
        part_scores = (scores(vectors) for vectors in self.part_vectors(images))
        return gather_parts(part_scores, self.parts, self.keypoints)

    def part_vectors(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> the vectors [B, J, d, H/4, W/4] of each part."""
        self.check(images)
        run: Callable[..., Any] = nn.Module.__call__
        if self.recompute and torch.is_grad_enabled():
            run = _run_recomputed
        pyramid: Sequence[Tensor | None] = [None] * len(self.spec.strides)
        if not isinstance(self.backbone, nn.Identity):  # pruning did not remove the backbone
            pyramid = run(self.backbone, images)
        return [run(head, pyramid, images) for head in self.heads]

    def with_architectures(self, architectures: Mapping[str, Architecture]) -> "PoseNFS":
        """Return a copy in which the named fabrics have other alpha and beta.

        Args:
            architectures: The architecture of each fabric by name.

        Raises:
            ValueError: There is no fabric of such a name.
        """
        model = copy.deepcopy(self)
        model.set_architectures(architectures)
        return model

    @torch.no_grad()
    def set_architectures(self, architectures: Mapping[str, Architecture]) -> None:
        """Set alpha and beta of the named fabrics.

        Args:
            architectures: The architecture of each fabric by name.

        Raises:
            ValueError: There is no fabric of such a name; nothing is changed.
        """
        fabrics = self.fabrics()
        for name in architectures:
            if name not in fabrics:
                raise ValueError(f"no fabric {name!r}; there are {', '.join(fabrics)}")
        for name, architecture in architectures.items():
            fabrics[name].alpha.copy_(architecture.alpha)
            fabrics[name].beta.copy_(architecture.beta)

    def prune(self, weights: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Remove what weighs 0 and what only depends on it, and fix the weights of the rest.

        Args:
            weights: For each fabric by name the weights alpha [N, E, |O|] and beta [N, 3] of its
                cells.
        """
        for part, head in zip(self.parts, self.heads, strict=True):
            head.prune(*weights[part.name])
        all_rows = range(len(self.spec.strides))
        rows = [row for row in all_rows if any(head.fabric.reads(row) for head in self.heads)]
        backbone, fabric = self.backbone, self._backbone_fabric
        if not rows:
            backbone = nn.Identity()  # it is never run
        elif fabric is not None:
            mask = FabricMask.of_weights(fabric.spec, *weights["backbone"], rows)
            fabric.prune(mask, *weights["backbone"])
        del self.backbone  # saved states of optimizers have the heads first
        self.backbone = backbone

    def fabrics(self) -> dict[str, Fabric]:
        """Return every searched fabric by name: of the parts, and of a fabric backbone.

        A pruned network has none.
        """
        return {name: f for name, f in self._all_fabrics().items() if f.mask is None}

    @property
    def pruned_fabrics(self) -> dict[str, Fabric]:
        """The pruned fabrics by name; "backbone" is missing where no row of it is read."""
        return {name: f for name, f in self._all_fabrics().items() if f.mask is not None}

    def _all_fabrics(self) -> dict[str, Fabric]:
        fabrics = {
            part.name: head.fabric for part, head in zip(self.parts, self.heads, strict=True)
        }
        fabric = self._backbone_fabric
        return fabrics if fabric is None else {"backbone": fabric, **fabrics}

    @property
    def _backbone_fabric(self) -> Fabric | None:
        fabric = getattr(self.backbone, "fabric", None)
        return fabric if isinstance(fabric, Fabric) else None


def _run_recomputed(module: nn.Module, *inputs: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """Run module(*inputs) without storing activations; batch-norms count the inputs only once."""
    return checkpoint(
        module,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (contextlib.nullcontext(), batch_norms_kept(module)),
    )


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model in eval mode within the context, and restore its mode afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextlib.contextmanager
def batch_norms_kept(model: nn.Module) -> Iterator[None]:
    """Restore all buffers of the model, such as running means and variances, after the context."""
    saved_buffers = [buffer.clone() for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, saved in zip(model.buffers(), saved_buffers, strict=True):
            buffer.copy_(saved)


def check_image_size(height: int, width: int, stride: int) -> None:
    """Check that an image is not empty and that the largest stride divides its size.

    Args:
        height: The height of the image in px.
        width: The width of the image in px.
        stride: The largest stride of the network.

    Raises:
        ValueError: The size is wrong; the message names the nearest size that fits.
    """
    if min(height, width) < 1 or height % stride or width % stride:
        nearest_height = max(round(height / stride), 1) * stride
        nearest_width = max(round(width / stride), 1) * stride
        raise ValueError(
            f"an image of {height} x {width} px (height x width) is not divisible by the largest "
            f"stride {stride}; the nearest size that is: {nearest_height} x {nearest_width}"
        )
