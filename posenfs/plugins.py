"""Plugins: Python files and installed packages that add operations, backbones, strategies, ….

They add entries to OPERATIONS, BACKBONES, STRATEGIES, DATASETS and TABLES. An installed package
names its plugin by an entry point of the group `posenfs.plugins`. Files and importable modules are
listed in the environment variable POSENFS_PLUGINS, separated as in PATH. `--plugin` adds to it, and
the processes and notebook kernels that this process starts inherit it.
"""

import functools
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from importlib import metadata
from pathlib import Path
from types import ModuleType

from posenfs.errors import PosenfsError

GROUP = "posenfs.plugins"
VARIABLE = "POSENFS_PLUGINS"
_ADVICE = (
    f"a plugin is a Python file or an importable module, given by --plugin or {VARIABLE} "
    "(docs/extending.md)"
)

_loaded: dict[str, str] = {}  # source -> fingerprint of its file; "" while it is being loaded


class PluginError(PosenfsError):
    """A plugin is missing or cannot be loaded. The message names it, the line and the reason."""


def load_plugin(source: str | Path) -> None:
    """Load a plugin in this process and in all processes that it starts from now on.

    Args:
        source: A Python file, or the name of an importable module.

    Raises:
        PluginError: There is no such file or module, or it fails while it is loaded.
    """
    source = _absolute(str(source))
    _load_source(source)
    if source not in (sources := _sources()):
        os.environ[VARIABLE] = os.pathsep.join([*sources, source])


def load_plugins() -> None:
    """Load the plugins of installed packages and those of POSENFS_PLUGINS, each once.

    Raises:
        PluginError: One of them is missing, or fails while it is loaded.
    """
    for entry_point in _entry_points():
        _load_entry_point(entry_point)
    for source in _sources():
        _load_source(source)


def loaded_plugins() -> dict[str, str]:
    """Name of each loaded plugin -> the first twelve digits of its file's SHA-256."""
    return {
        Path(name).name if _is_file(name) else name: digest
        for name, digest in _loaded.items()
        if digest
    }


def _sources() -> list[str]:
    return [
        _absolute(source) for source in os.environ.get(VARIABLE, "").split(os.pathsep) if source
    ]


def _absolute(source: str) -> str:
    return str(Path(source).expanduser().resolve()) if _is_file(source) else source


@functools.cache  # looking through every installed package takes a while
def _entry_points() -> tuple[metadata.EntryPoint, ...]:
    return tuple(metadata.entry_points(group=GROUP))


def _is_file(source: str) -> bool:
    return source.endswith(".py") or os.sep in source


def _load_source(source: str) -> None:
    if source in _loaded:  # also while it is being loaded: it may import from posenfs itself
        return
    _loaded[source] = ""
    try:
        module = _import_file(Path(source)) if _is_file(source) else importlib.import_module(source)
    except PluginError:
        del _loaded[source]
        raise
    except Exception as error:
        del _loaded[source]
        if isinstance(error, ModuleNotFoundError) and error.name == source.split(".")[0]:
            raise PluginError(f"no module named {source!r}; {_ADVICE}") from None
        raise PluginError(
            f"plugin {source}{_line(error, source)} failed: {_reason(error)}"
        ) from error
    _loaded[source] = _fingerprint(module)


def _load_entry_point(entry_point: metadata.EntryPoint) -> None:
    distribution = entry_point.dist
    package = (
        f"{distribution.name} {distribution.version}" if distribution else "an installed package"
    )
    name = f"{package}: {entry_point.value}"
    if name in _loaded:
        return
    _loaded[name] = ""
    try:
        plugin = entry_point.load()
        if not isinstance(plugin, ModuleType):
            plugin()
    except Exception as error:
        del _loaded[name]
        raise PluginError(
            f"plugin {entry_point.name!r} of {package} ({entry_point.value}) failed: "
            f"{_reason(error)}; correct or uninstall {package}"
        ) from error
    _loaded[name] = _fingerprint(sys.modules[entry_point.module])


def _fingerprint(module: ModuleType) -> str:
    return (
        hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest()[:12]
        if module.__file__
        else "no file"
    )


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError(f"no plugin at {path}; {_ADVICE}")
    name = f"posenfs_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file; {_ADVICE}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as an import does: dataclasses and pickle look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _line(error: Exception, file: str) -> str:
    """The line of the plugin's file in which it failed."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines.append(error.lineno)
    return f", line {lines[-1]}," if lines else ""


def _reason(error: Exception) -> str:
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {message}"
