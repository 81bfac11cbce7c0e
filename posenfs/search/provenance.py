"""Provenance of a run: its device, versions, machine and data."""

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
    """Return a device by its name.

    Args:
        name: cpu, cuda, cuda:N, or auto: the first GPU, else the CPU.

    Raises:
        ValueError: The device cannot be used.
    """
    try:
        name = local_device(name)
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        gpus = ", ".join(f"cuda:{n}" for n in range(torch.cuda.device_count())) or "no GPU"
        raise ValueError(
            f"device {name!r} cannot be used ({error_reason(error)}); there are: cpu, {gpus}"
        ) from None
    return device


def provenance(
    device: torch.device, group: ProcessGroup, splits: Iterable[Annotations], initial_weights: str
) -> dict:
    """Return the content of provenance.json.

    Args:
        device: The device of the search.
        group: Its processes.
        splits: The splits that it uses.
        initial_weights: Where the initial weights come from.
    """
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": _versions(),
        "plugins": loaded_plugins(),
        "commit": _commit(),
        "platform": platform.platform(),
        "device": _device_name(device),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": group.world_size,
        "initial_weights": initial_weights,
        "data": {
            split.name: {
                "title": split.label,
                "people": len(split),
                "left_out": dict(split.excluded),
                "doubtful": dict(split.doubtful),
                "fingerprint": split.fingerprint(),
            }
            for split in splits
        },
    }


def restore_environment(before: Mapping, device: torch.device, group: ProcessGroup) -> None:
    """Restore the number of threads of a run, and report what else differs.

    Args:
        before: The content of the run's provenance.json.
        device: The device of the search now.
        group: Its processes now.
    """
    notes, processes = [], before.get("processes", 1)
    if device.type == "cpu" and before["threads"] != torch.get_num_threads():
        torch.set_num_threads(before["threads"])
        notes.append(f"note: {before['threads']} threads, as this run began with")
    if processes != group.world_size:
        notes.append(
            f"note: {group.world_size} processes, where this run began in {processes}: batch "
            "statistics are computed per process, so the results differ"
        )
    then = {**before["versions"], **before.get("plugins", {}), "device": before["device"]}
    now = {**_versions(), **loaded_plugins(), "device": _device_name(device)}
    changes = [
        f"{name} {then.get(name)} -> {now[name]}" for name in now if then.get(name) != now[name]
    ]
    if changes:
        notes.append(
            f"note: changed since the run began, last digits may differ: {', '.join(changes)}"
        )
    for text in notes if group.is_main else []:
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
    """Return the commit of the code, with a + if it was changed; None outside a checkout."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        completed = subprocess.run(
            ["git", *arguments], cwd=here.parent, capture_output=True, text=True, check=True
        )
        return completed.stdout.strip()

    try:
        # An installed package may lie inside a checkout of something else.
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty=+", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
