"""The house: a room imports only from lower floors, and inside a room files build on each other in the order here."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "posenfs"

# Floors from the ground up; inside a room the files in the order in which they build on each other.
ROOMS = {
    "body": ["words", "skeleton", "parts"],
    "data": [
        "files", "geometry", "heatmaps", "sample", "parsing", "images",
        "datasets.figures", "datasets.scenery", "datasets.drawing", "datasets.synthetic",
        "datasets.mpii", "datasets.mpii_release", "datasets.coco", "datasets.lsp", "datasets.own",
        "datasets.catalogue", "check",
        "augment", "cache", "loader",
    ],
    "model": [
        "space", "operations", "architecture", "fabric", "vectors", "losses",
        "backbones.pretrained", "backbones.mobilenet_v2", "backbones.resnet", "backbones.hrnet", "backbones.fabric",
        "backbones", "network", "reference", "released", "baselines", "cost", "expected_cost", "memory", "latency",
        "prune", "folded", "tensors", "watch",
    ],
    "evaluation": ["stats", "seeds", "oks", "metrics", "scoring", "submission", "truth", "predict", "images"],
    "search": [
        "signals", "experiment", "ranks", "provenance", "strategies", "forward", "feed", "failures", "run", "saved",
        "shipped", "result", "steering", "engine", "detached",
    ],
    "study": [
        "audit", "sweep", "costs", "speed", "testing", "pruning", "children", "distinctness", "comparing", "gathering",
        "decoding", "submitting", "experiments", "results", "rows", "row_costs", "tables", "engines", "ablation",
        "calibration", "planning", "watching", "campaign",
    ],
    "show": [
        "canvas", "operation_bars", "legend", "fabric_graph", "graphs", "difference_graph", "cell_graph", "stick_body", "part_graph",
        "body_graph", "network_graph", "curves", "errors", "costs", "architectures", "vectors", "poses", "stills",
        "predictions", "labels", "ablations", "table_page", "run_summary", "report",
    ],
    "workbench": [
        "threads", "kernel", "following", "driver", "display", "subject", "drawing", "moment", "views", "panel",
        "editor", "explorer", "browser", "designer",
    ],
    "commands": ["search", "runs", "study", "models", "data", "evaluation", "doctor"],
}  # fmt: skip
IN_ROOMS = [f"posenfs.{room}.{file}" for room, files in ROOMS.items() for file in files]
HOUSE = ["posenfs.plugins", *IN_ROOMS, "posenfs.cli"]


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import posenfs modules by their whole name"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in HOUSE else node.module for name in names}
    return {name for name in found if name.split(".")[0] == "posenfs"}


PACKAGES = {"posenfs", "posenfs.data.datasets", *(f"posenfs.{room}" for room in ROOMS)}
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if _module(path) not in PACKAGES]


def test_every_file_has_its_place():
    assert {_module(path) for path in FILES} == set(HOUSE)


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_imports_only_from_below(path):
    own = HOUSE.index(_module(path))
    for name in _imports(path):
        assert name in HOUSE, f"{_module(path)} imports {name}, which has no place"
        assert HOUSE.index(name) < own, f"{_module(path)} imports {name} from above"


def test_rooms_themselves_import_nothing():
    for room in (*ROOMS, "data/datasets"):
        assert not _imports(PACKAGE / room / "__init__.py")
