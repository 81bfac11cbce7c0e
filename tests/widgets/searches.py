"""Searches on the CPU, for tests."""

from pathlib import Path

from posenfs.search.experiment import Experiment
from posenfs.search.session import Search


def search(experiment: Experiment, folder: Path) -> Search:
    return Search(experiment, folder, device="cpu", progress=False)
