"""The network and the data of a run, for display."""

import copy
import functools
from collections.abc import Mapping
from dataclasses import replace

from posenfs.body.skeleton import Skeleton
from posenfs.data.datasets.catalogue import open_data, parts_of, skeleton_of
from posenfs.data.sample import Annotations
from posenfs.model.network import PoseNetwork
from posenfs.model.space import FabricSpec
from posenfs.search.build import build_model
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search


class RunContext:
    """The network and the data of a run. Networks are in eval mode and on the CPU.

    Args:
        run: The run to show.
        experiment: Its experiment; its `data` may be replaced by data of the same keypoints.
        search: The open search whose data are used; without it the data are read from disk.
    """

    def __init__(self, run: RunDir, experiment: Experiment, search: Search | None = None):
        self.run, self.experiment, self._search = run, experiment, search
        self.parts = parts_of(self.experiment.data, self.experiment.parts)
        self.skeleton: Skeleton = skeleton_of(self.experiment.data)
        self.size = self.experiment.image_size

    @functools.cached_property
    def _data(self) -> tuple[Annotations, Annotations]:
        """The training and the validation split."""
        if self._search is not None:
            return self._search.train, self._search.valid
        return open_data(self.experiment.data, progress=False)

    @property
    def train(self) -> Annotations:
        """The training split."""
        return self._data[0]

    @property
    def people(self) -> Annotations:
        """The validation split."""
        return self._data[1]

    @functools.cached_property
    def network(self) -> PoseNetwork:
        """A network with random weights, for its structure and its cost."""
        experiment = replace(self.experiment, backbone_weights=None, init_from=None)
        return build_model(experiment, self.parts).eval()

    @functools.cached_property
    def specs(self) -> Mapping[str, FabricSpec]:
        """The search space of every fabric by name; empty where nothing is searched."""
        return {name: fabric.spec for name, fabric in self.network.fabrics().items()}

    def network_at(self, checkpoint: int) -> PoseNetwork:
        """Return the network with the weights of a checkpoint.

        Args:
            checkpoint: The step of the checkpoint.

        Raises:
            RunError: The checkpoint cannot be read.
        """
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.run.checkpoints.load(checkpoint)["model"])
        return network
