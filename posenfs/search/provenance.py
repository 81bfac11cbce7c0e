"""On what a search runs: its device, and the versions, machine and data by which its numbers came about."""

import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

import torch

from posenfs.data.sample import Annotations
from posenfs.messages import error_reason, note
from posenfs.plugins import loaded_plugins
from posenfs.search.distributed import ProcessGroup, local_device


def find_device(name: str) -> torch.device:
    """The device of that name; auto: the first GPU, else the CPU. Raises ValueError where it cannot be used."""
    try:
        name = local_device(name)
        device = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
        )
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        gpus = ", ".join(f"cuda:{n}" for n in range(torch.cuda.device_count())) or "no GPU"
        raise ValueError(
            f"device {name!r} cannot be used ({error_reason(error)}); there are: cpu, {gpus}"
        ) from None
    return device


def provenance(
    device: torch.device, ranks: ProcessGroup, data: Iterable[Annotations], initial_weights: str
) -> dict:
    """The content of provenance.json."""
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": _versions(),
        "plugins": loaded_plugins(),
        "commit": _commit(),
        "platform": platform.platform(),
        "device": _device_name(device),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": ranks.world_size,
        "initial_weights": initial_weights,
        "data": {
            people.name: {
                "title": people.label,
                "people": len(people),
                "left_out": dict(people.excluded),
                "fingerprint": people.fingerprint(),
            }
            for people in data
        },
    }


def restore_environment(before: Mapping, device: torch.device, ranks: ProcessGroup) -> None:
    """Go on with the thread count a run began with, and say what else is not as it was then."""
    notes, processes = [], before.get("processes", 1)
    if device.type == "cpu" and before["threads"] != torch.get_num_threads():
        torch.set_num_threads(before["threads"])
        notes.append(f"note: {before['threads']} threads, as this run began with")
    if processes != ranks.world_size:
        notes.append(
            f"note: {ranks.world_size} processes, where this run began in {processes}: batch-norm looks at the part of a "
            "batch that each has, so this is another training"
        )
    then = {**before["versions"], **before.get("plugins", {}), "device": before["device"]}
    now = {**_versions(), **loaded_plugins(), "device": _device_name(device)}
    if changed := [
        f"{name} {then.get(name)} -> {now[name]}" for name in now if then.get(name) != now[name]
    ]:
        notes.append(f"note: not as the run began, last digits may differ: {', '.join(changed)}")
    for text in notes if ranks.is_main else []:
        note(text)


def _versions() -> dict[str, str]:
    packages = ("posenfs", "torch", "torchvision", "numpy")
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()


def _commit() -> str | None:
    """The commit of the code that runs, with a + where it was changed; None outside a checkout."""
    here = Path(__file__)

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=here.parent, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        # installed, it may lie in a checkout of something else
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty=+", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
