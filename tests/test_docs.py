"""The documentation: its examples run, its links lead somewhere, its commands and options exist."""

import ast
import inspect
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import get_type_hints

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tyro.extras import SubcommandApp

from posenfs import (
    BACKBONES,
    DATASETS,
    OPERATIONS,
    STRATEGIES,
    TABLES,
    DataSpec,
    Experiment,
    FabricSpec,
    load_plugin,
)
from posenfs.body.skeleton import LSP
from posenfs.cli.main import _app
from posenfs.search.experiment import differences
from posenfs.search.session import Search

ROOT = Path(__file__).parent.parent
EXTENDING = (ROOT / "docs" / "extending.md").read_text()
PAGES = [
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "benchmarks/README.md")
]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


@pytest.fixture
def example():
    """Runs the block under a heading of docs/extending.md and gives what it defines; the dicts are as before after."""
    dicts = [BACKBONES, DATASETS, OPERATIONS, STRATEGIES, TABLES]
    before = [dict(own) for own in dicts]

    def run(heading: str) -> dict:
        (section,) = (
            text
            for text in re.split(r"^## ", EXTENDING, flags=re.M)
            if text.startswith(f"{heading}\n")
        )
        (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
        defined: dict = {}
        exec(compile(code, f"docs/extending.md, {heading}", "exec"), defined)
        return defined

    yield run
    for own, kept in zip(dicts, before, strict=True):
        own.clear()
        own.update(kept)


def searched(experiment, tiny, tmp_path) -> Search:
    """Two steps of an example's search, as small as the tests' other ones where the example leaves it open."""
    search = Search(
        replace(experiment, image_size=(64, 64), parts=3), tmp_path / "run", progress=False
    )
    before = {name: p.clone() for name, p in search.model.named_parameters()}
    search.step()
    search.step()
    assert all(torch.isfinite(p).all() for p in search.model.parameters())
    assert any((p != before[name]).any() for name, p in search.model.named_parameters())
    return search


@pytest.fixture
def small(tiny):
    """An example's experiment with the tests' data and a short run."""
    training = replace(tiny.training, epochs=1, batch_size=4)
    return lambda experiment: replace(experiment, data=tiny.data, training=training)


def test_an_operation(example, small, tiny, tmp_path):
    own = example("An operation")["experiment"]
    own = replace(own, fabric=replace(own.fabric, width=2))
    model = searched(small(own), tiny, tmp_path).model
    operation = OPERATIONS["separable_5x5"](4).eval()
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(
        operation(x, torch.tensor(0.3)), 0.3 * operation(x, torch.tensor(1.0))
    )
    assert sum(type(module).__name__ == "Separable5x5" for module in model.modules()) == 3 * 6


def test_a_block_is_a_plugin(example, tmp_path, monkeypatch):
    """As a file, given like --plugin; the fixture sets the dicts back."""
    monkeypatch.setenv("POSENFS_PLUGINS", "")
    (section,) = re.findall(r"^## An operation\n.*?```python\n(.*?)```", EXTENDING, re.M | re.S)
    (tmp_path / "my_layers.py").write_text(section)
    assert "separable_5x5" not in OPERATIONS
    load_plugin(tmp_path / "my_layers.py")
    assert "separable_5x5" in OPERATIONS and os.environ["POSENFS_PLUGINS"] == str(
        tmp_path / "my_layers.py"
    )


def test_a_backbone(example, small, tiny, tmp_path):
    own = replace(example("A backbone")["experiment"], fabric=FabricSpec(width=2))
    search = searched(small(own), tiny, tmp_path)
    maps = search.model.backbone(torch.zeros(1, 3, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (24, 16, 16),
        (116, 8, 8),
        (232, 4, 4),
        (464, 2, 2),
    ]


def test_a_data_set(example, tiny, tmp_path):
    experiment = example("A data set")["experiment"]
    random, root = np.random.default_rng(0), tmp_path / "tables"
    root.mkdir()
    for split, count in (("train", 9), ("valid", 3)):
        rows = []
        for number in range(count):
            name = f"{split}{number}.png"
            Image.fromarray(random.integers(0, 255, (80, 60, 3), dtype=np.uint8)).save(root / name)
            row = {"image": name}
            for keypoint in LSP.keypoints:
                row |= {
                    f"x_{keypoint}": random.uniform(5, 55),
                    f"y_{keypoint}": random.uniform(5, 75),
                }
            rows.append(row)
        rows[0]["x_neck"] = np.nan  # not labelled
        pd.DataFrame(rows).to_csv(root / f"{split}.csv", index=False)
    own = replace(experiment, data=DataSpec("tables", str(root)), fabric=FabricSpec(width=2))
    search = searched(
        replace(own, training=replace(tiny.training, epochs=1, batch_size=3)), tiny, tmp_path
    )
    assert search.train.visibility[
        0, LSP.index("neck")
    ] == 0 and search.train.visibility.sum() == 2 * (9 * 14 - 1)


def test_a_strategy(example, small, tiny, tmp_path):
    own = replace(example("A strategy")["experiment"], fabric=FabricSpec(width=2))
    search = searched(small(own), tiny, tmp_path)
    assert (
        search.model.fabrics()["upper_limb_part"].alpha.abs().max() > 0
    )  # the second step moved it


def test_a_table(example):
    experiment = example("A table")["experiment"]
    assert experiment.fabric.layers == 8 and experiment.image_size == (64, 64)
    assert [row.against for row in TABLES["depth"].rows.values()] == [None, "six", "six"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Those to files of the project."""
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_every_option_of_a_search_is_described():
    """Those of `posenfs search --help`, which are the fields of an experiment, and no others."""
    text = (
        (ROOT / "docs" / "searching.md")
        .read_text()
        .split("## Options")[1]
        .split("## Strategies")[0]
    )
    named = {
        option
        for row in re.findall(r"^\| (`--.*?) \|", text, re.M)
        for option in re.findall(r"--[\w.-]+", row)
    }
    # dictionaries, of derived networks; what a run keeps of custom data
    python_only = {"--genotype", "--backbone-fabric", "--data.definition"}
    assert named == set(options_of(Experiment)) - python_only


def options_of(kind: type, group: str = "") -> list[str]:
    """The options of a dataclass, group by group."""
    options = []
    for name, hint in get_type_hints(kind).items():
        option = f"{group}{name.replace('_', '-')}"
        nested = is_dataclass(hint)
        options += options_of(hint, f"{option}.") if nested else [f"--{option}"]
    return options


def test_every_public_name_is_in_the_reference(tmp_path):
    """The site builds without a warning, and each public name has a heading in it."""
    pytest.importorskip("mkdocs", reason="the documentation's packages are not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = (tmp_path / "site" / "reference").glob("*.html")
    headings = {
        name for page in pages for name in re.findall(r'id="(posenfs\.[\w.]+)"', page.read_text())
    }
    stub = ast.parse((ROOT / "posenfs" / "__init__.pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    public = {f"posenfs.{node.module}.{name.name}" for node in imports for name in node.names}
    assert public and public <= headings, public - headings


def described() -> dict[str, set[str]]:
    """The commands that docs/commands.md describes, and the options that it names of each."""
    sections = re.split(r"^## ", (ROOT / "docs" / "commands.md").read_text(), flags=re.M)[1:]
    found = {}
    for section in sections:
        name, text = section.split("\n", 1)
        groups = re.findall(rf"^- `posenfs {name} (\w+)(.*?)(?=^- |\Z)", text, re.M | re.S)
        for command, words in [(f"{name} {own}", words) for own, words in groups] or [(name, text)]:
            found[command] = set(re.findall(r"--([a-z][a-z-]*)", words))
    return found


def offered(app: SubcommandApp, above: str = "") -> dict[str, set[str]]:
    """The commands that there are, and the options of each."""
    found = {}
    for name, spec in app._subcommands.items():
        if isinstance(spec.target, SubcommandApp):
            found |= offered(spec.target, f"{above}{name} ")
            continue
        options = set()
        for parameter in inspect.signature(spec.target).parameters.values():
            if parameter.name == "options":  # a dataclass whose fields are options
                options |= {field.name.replace("_", "-") for field in fields(parameter.default)}
            elif "Positional" not in str(parameter.annotation) and parameter.name != "experiment":
                option = "json" if parameter.name == "as_json" else parameter.name.replace("_", "-")
                options.add(
                    f"no-{option}" if parameter.default is True else option
                )  # what a user would type
        found[above + name] = options
    return found


def test_every_command_and_option_is_described():
    assert described() == offered(_app(searching=True))


def test_the_example_of_searching(tiny, tmp_path, monkeypatch):
    """Every line of docs/searching.md's Python, on a search of seconds."""
    (block,) = re.findall(
        r"^## In Python\n\n((?:    .*\n|\n)+)", (ROOT / "docs" / "searching.md").read_text(), re.M
    )
    experiment = (
        'Experiment(name="mine", image_size=(128, 128), training=TrainingConfig(epochs=20))'
    )
    assert experiment in block and "120" in block
    code = (
        textwrap.dedent(block)
        .replace(experiment, "tiny")
        .replace("120", "2")
        .replace('"mine"', '"tiny"')
    )
    monkeypatch.chdir(tmp_path)
    defined = {"tiny": tiny}
    exec(compile(code, "docs/searching.md", "exec"), defined)
    assert defined["search"].step_number == 2
    assert (tmp_path / "reports" / "runs" / "bolder" / "config.json").is_file()


def test_the_example_of_the_readme(tiny, tmp_path, monkeypatch, capsys):
    """Its experiment is the demo's, whose time and score stand beside it; its search runs."""
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert "Search(experiment)" in block
    monkeypatch.chdir(tmp_path)
    defined = {"tiny": tiny}
    code = block.replace("Search(experiment)", "Search(tiny)")
    exec(compile(code, "README.md", "exec"), defined)
    assert defined["search"].finished and "pckh@0.5" in capsys.readouterr().out

    cells = nbformat.read(ROOT / "notebooks" / "04_search.ipynb", 4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    demo: dict = {}
    exec(code.split("search = Search(")[0], demo)
    assert [option for option, *_ in differences(as_read(demo), as_read(defined))] == ["--name"]


def as_read(defined: dict) -> Experiment:
    """The experiment of an example as config.json gives it, where tuples and numbers have one type."""
    return Experiment.from_json(defined["experiment"].to_json())
