"""The head of a body part: the pyramid of the backbone -> the vectors of its keypoints (Fig. 3)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from posenfs.body.parts import Part
from posenfs.model.fabric import Fabric
from posenfs.model.mask import FabricMask
from posenfs.model.operations import module_list
from posenfs.model.space import PAPER, FabricSpec, Rules


class PartHead(nn.Module):
    """Pyramid -> vectors of one part.

    1x1 entries, a fabric, ReLU, and a 1x1 convolution to J * d channels.

    There are no entries where all maps of the backbone have the channels of the fabric: then the
    head continues the fabric of which the backbone is the beginning (section III-C). The released
    code compares the finest maps alone, and its forward pass fails where the coarser ones differ;
    here such a head has entries.

    Attributes:
        entries: For each map a 1x1 convolution to the channels of the fabric, or the identity
            where there are no entries; None where a pruned fabric does not read the map.
    """

    entries: Sequence[nn.Module | None]

    def __init__(
        self,
        part: Part,
        channels: tuple[int, ...],
        spec: FabricSpec,
        vector_dim: int,
        rules: Rules = PAPER,
    ):
        super().__init__()
        if spec.input_rows != len(channels):
            raise ValueError(
                f"a head whose layer {spec.first} reads {spec.input_rows} maps got {len(channels)}"
            )
        self.keypoints, self.vector_dim = len(part.keypoints), vector_dim
        needs_entries = rules.always_entries or not spec.fits(channels)
        self.entries = module_list(
            nn.Conv2d(channels_in, spec.channels(row), 1) if needs_entries else nn.Identity()
            for row, channels_in in enumerate(channels)
        )
        self.fabric = Fabric(spec, rules)
        # channel = keypoint * d + component
        self.vectors = nn.Conv2d(spec.channels(0), self.keypoints * vector_dim, 1)

    def forward(self, pyramid: Sequence[Tensor | None], images: Tensor | None = None) -> Tensor:
        """Compute the vectors of the part.

        Args:
            pyramid: Four maps, finest first; None where no head of a pruned network reads one.
            images: The images, [B, 3, H, W]; only a pruned head needs them (see `Cell`).

        Returns:
            The vectors, [B, J, d, h, w], at the finest stride.
        """
        entries = zip(self.entries, pyramid, strict=True)
        maps = [None if entry is None else entry(x) for entry, x in entries]
        finest = self.fabric(maps, images)[0]
        return self.vectors(F.relu(finest)).unflatten(1, (self.keypoints, self.vector_dim))

    def prune(self, operation_weights: Tensor, scale_weights: Tensor) -> None:
        """Remove what weighs 0 and what only depends on it, and fix the weights of the rest.

        Args:
            operation_weights: The weights of the operations that replace alpha, [N, E, |O|].
            scale_weights: The weights of the sources that replace beta, [N, 3].
        """
        weights = operation_weights, scale_weights
        self.fabric.prune(FabricMask.of_weights(self.fabric.spec, *weights, {0}), *weights)
        entries, vectors = self.entries, self.vectors
        del self.entries, self.vectors  # saved states of optimizers have the fabric first
        self.entries = module_list(
            entry if self.fabric.reads(row) else None for row, entry in enumerate(entries)
        )
        self.vectors = vectors
