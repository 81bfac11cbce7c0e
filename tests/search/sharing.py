"""What one of two processes does in test_distributed.py: searches, then what it holds in the end, in a file of its own."""

import sys
from pathlib import Path

import torch

from posenfs.search.experiment import Experiment
from posenfs.search.session import Search


def main() -> None:
    torch.set_num_threads(1)
    experiments, folder = Path(sys.argv[1]), Path(sys.argv[2])
    for path in sorted(experiments.glob("*.json")):
        search = Search(
            Experiment.from_json(path.read_text()), folder / path.stem, device="cpu", progress=False
        )
        search.finish()
        held = {"model": search.model.state_dict(), "metrics": search.metrics}
        torch.save(held, folder / f"{path.stem}_{search.group.rank}.pt")


main()
