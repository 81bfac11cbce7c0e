"""A run to look at: its network, and its people."""

import copy
import functools
from collections.abc import Mapping
from dataclasses import replace

from posenfs.body.skeleton import Skeleton
from posenfs.data.datasets.catalogue import open_data, parts_of, skeleton_of
from posenfs.data.sample import People
from posenfs.model.network import PoseNetwork
from posenfs.model.space import FabricSpec
from posenfs.search.engine import Search
from posenfs.search.experiment import Experiment, build_model
from posenfs.search.run import Run


class Subject:
    """A run to look at. `people` are those the network does not see, `train` those it learns from; networks are in eval
    mode, on the CPU."""

    def __init__(self, run: Run, experiment: Experiment, search: Search | None = None):
        self.run, self.experiment, self._search = run, experiment, search
        self.parts = parts_of(self.experiment.data, self.experiment.parts)
        self.skeleton: Skeleton = skeleton_of(self.experiment.data)
        self.size = self.experiment.image_size[::-1]  # width, height

    @functools.cached_property
    def _data(self) -> tuple[People, People]:
        own = self._search
        return open_data(self.experiment.data, progress=False) if own is None else (own.train, own.valid)

    @property
    def train(self) -> People:
        return self._data[0]

    @property
    def people(self) -> People:
        return self._data[1]

    @functools.cached_property
    def network(self) -> PoseNetwork:
        """With weights that mean nothing: for its shape and its cost."""
        fresh = replace(self.experiment, backbone_weights=None, start=None)
        return build_model(fresh, self.parts).eval()

    @functools.cached_property
    def specs(self) -> Mapping[str, FabricSpec]:
        """Of every fabric by name; none where nothing is searched."""
        return {name: fabric.spec for name, fabric in self.network.fabrics().items()}

    def network_at(self, snapshot: int) -> PoseNetwork:
        """The network as a snapshot has it; raises RunError where that cannot be read."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.run.load_snapshot(snapshot)["model"])
        return network
