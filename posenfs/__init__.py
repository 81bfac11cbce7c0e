"""posenfs: neural architecture search on human pose (Pose Neural Fabrics Search, arXiv 1909.07068).

The public names are imported at their first use: `import posenfs` itself imports no torch.
"""

import importlib
from typing import Any

import lazy_loader

_import_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Import a public name, and load the plugins, which may add to its entries."""
    if name not in __all__:
        raise AttributeError(f"posenfs has no {name!r}; it has {', '.join(__all__)}")
    value = _import_name(name)
    importlib.import_module("posenfs.plugins").load_plugins()
    globals()[name] = value
    return value
