"""What the views of one run have in common: its network, its people, and work that would keep a notebook waiting."""

import asyncio
import copy
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from posenfs.body.skeleton import Skeleton
from posenfs.data.datasets.catalogue import open_data, parts_of, skeleton_of
from posenfs.data.sample import People
from posenfs.model.network import PoseNetwork
from posenfs.model.space import FabricSpec
from posenfs.search.engine import Search
from posenfs.search.experiment import build_model
from posenfs.search.run import Run

_WORKERS = ThreadPoolExecutor(1, "views")  # one for all panels: they must not take a search's cores
_TASKS: dict[tuple[str, Path], asyncio.Task] = {}  # of what is shown in this kernel


class Subject:
    """A run to look at. `people` are those the network does not see; networks are in eval mode, on the CPU."""

    def __init__(self, run: Run, search: Search | None = None):
        self.run, self._search = run, search
        self.experiment = run.experiment()
        self.parts = parts_of(self.experiment.data, self.experiment.parts)
        self.skeleton: Skeleton = skeleton_of(self.experiment.data)
        self.size = self.experiment.image_size[::-1]  # width, height

    @functools.cached_property
    def people(self) -> People:
        return open_data(self.experiment.data, progress=False)[1] if self._search is None else self._search.valid

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


def keep_fresh(kind: str, run: Run, refresh: Callable[[], None], period: float) -> None:
    """Call `refresh` every so many seconds on the kernel's loop, in the place of whatever of this kind was shown of the
    run before: a cell that is run again leaves nothing behind."""

    async def call() -> None:
        while True:
            refresh()
            await asyncio.sleep(period)

    key = kind, run.folder.resolve()
    if key in _TASKS:
        _TASKS.pop(key).cancel()
    _TASKS[key] = asyncio.get_running_loop().create_task(call())


class Background:
    """One result after the other, made in a thread; asked twice meanwhile, the last asked is what comes next."""

    def __init__(self):
        self._running: Future | None = None
        self._next: Callable[[], object] | None = None

    @property
    def busy(self) -> bool:
        return self._running is not None or self._next is not None

    def ask(self, work: Callable[[], object]) -> None:
        self._next = work

    def result(self) -> object | None:
        """What is done since, or None; raises what the work raised. To be called now and then: it begins what waits."""
        done, found = self._running is not None and self._running.done(), None
        if done:
            running, self._running = self._running, None
        if self._running is None and self._next is not None:
            self._running, self._next = _WORKERS.submit(self._next), None
        if done:
            found = running.result()
        return found
