"""The layers: a package imports only from packages below it, and no module imports in a circle."""

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "posenfs"

# From the bottom up. A package may import from itself and from those before it.
LAYERS = [
    "errors", "messages", "plugins",
    "body", "data", "model", "evaluation", "search", "study", "viz", "widgets", "cli",
]  # fmt: skip


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_module(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def _imports(path: Path) -> set[str]:
    """The modules of posenfs that a file imports, wherever in the file."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import posenfs modules by their whole name"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= {name if name in FILES else str(node.module) for name in names}
    return {name for name in imported if name.split(".")[0] == "posenfs"}


def _layer(module: str) -> int:
    return LAYERS.index(module.split(".")[1])


def test_every_module_belongs_to_a_layer():
    assert {name.split(".")[1] for name in FILES if name != "posenfs"} == set(LAYERS)


@pytest.mark.parametrize("module", [name for name in FILES if name != "posenfs"])
def test_imports_only_from_below(module):
    for name in _imports(FILES[module]):
        assert name in FILES, f"{module} imports {name}, which does not exist"
        assert _layer(name) <= _layer(module), f"{module} imports {name} from a layer above"


def test_no_module_imports_in_a_circle():
    graph = {name: _imports(path) - {name} for name, path in FILES.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def test_packages_themselves_import_nothing():
    for module, path in FILES.items():
        if path.name == "__init__.py" and module not in ("posenfs", "posenfs.model.backbones"):
            assert not _imports(path), f"{module} imports from posenfs"
