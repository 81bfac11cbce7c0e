"""The effect of edited alpha and beta on score maps, loss and expected cost."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from posenfs.data.loader import crop_people
from posenfs.data.sample import Batch, normalise
from posenfs.model.architecture import Architecture
from posenfs.model.expected_cost import ExpectedCost
from posenfs.model.network import PoseNFS
from posenfs.model.vectors import heatmap_loss
from posenfs.viz.score_maps import draw_map_change
from posenfs.widgets.run_context import RunContext

EVALUATED = 8  # annotated people of which the loss is computed


@dataclass(frozen=True)
class EditEffect:
    """The output of the edited network.

    Attributes:
        maps: Score maps before and after the edit, as a PNG.
        loss: The loss on a fixed batch.
        gmac: The expected multiply-adds (GMAC an image).
    """

    maps: bytes
    loss: float
    gmac: float


class EditEvaluator:
    """Evaluates a network with edited alpha and beta on validation images, without flip.

    Args:
        network: The network before the edit; it stays unchanged.
        subject: The data of its run.
    """

    def __init__(self, network: PoseNFS, subject: RunContext):
        self.network, self.subject = network, subject
        self._edited: PoseNFS = network.with_architectures({})

    def evaluate(
        self, architectures: Mapping[str, Architecture], person: int, keypoint: str
    ) -> EditEffect:
        """Evaluate the network with other alpha and beta.

        Args:
            architectures: Alpha and beta of all fabrics.
            person: The index in the validation split.
            keypoint: The name of the keypoint of the score maps.
        """
        edited, subject = self._edited, self.subject
        edited.set_architectures(architectures)
        people, keypoints = subject.people, [keypoint]
        maps = draw_map_change(self.network, edited, people, person, keypoints, subject.size)
        gmac = self._cost(edited.architectures()).item() / 1e9
        return EditEffect(maps.png(), self.loss(edited), gmac)

    @functools.cached_property
    def _cost(self) -> ExpectedCost:
        return ExpectedCost(self.network, *self.subject.size)

    @functools.cached_property
    def _batch(self) -> Batch:
        return crop_people(self.subject.people.select(slice(EVALUATED)), self.subject.size)

    @torch.no_grad()
    def loss(self, network: PoseNFS) -> float:
        """Return the loss of a network on the first people of the validation split."""
        batch = self._batch
        maps = network(normalise(batch.images))  # [B, K, h, w]
        stride = self.subject.size.width // maps.shape[-1]
        return heatmap_loss(maps, batch.targets(stride), batch.visibility).item()
