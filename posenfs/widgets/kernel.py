"""Support of live widgets by ipykernel: a correction, a warning and a probe."""

import functools
import inspect
import queue
import time
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from IPython import get_ipython

if TYPE_CHECKING:
    from ipykernel.kernelbase import Kernel
    from jupyter_client import BlockingKernelClient

_CODE = """
import asyncio, time
import ipywidgets
from posenfs.widgets.kernel import acknowledge_changes
acknowledge_changes()
slider, changes = ipywidgets.IntSlider(), []
slider.observe(lambda change: changes.append(change.new), "value")
print(slider.model_id, flush=True)
end = time.monotonic() + {seconds}
while len(changes) < {changes} and time.monotonic() < end:
    await asyncio.sleep(0.02)
"""


def acknowledge_changes() -> None:
    """Make this kernel acknowledge every widget change, also while a cell awaits.

    A page sends a widget's next change once the kernel has reported `idle` for the previous one.
    ipykernel 7.4.0 processes changes while a cell awaits, but reports nothing for them, so that
    the page sends one change and holds all later ones back. This function makes the kernel report
    `idle` after each message to a widget; where ipykernel sends its own report as well, the page
    ignores the second one.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return
    if "concurrent" in inspect.signature(kernel.dispatch_shell).parameters:
        _acknowledge_changes_of(kernel)


@functools.cache  # once for each kernel
def _acknowledge_changes_of(kernel: "Kernel") -> None:
    handle = kernel.shell_handlers["comm_msg"]

    def handle_and_acknowledge(stream: object, ident: object, message: Mapping) -> None:
        try:
            handle(stream, ident, message)
        finally:
            topic = f"kernel.{kernel.ident}.status".encode()
            content = {"execution_state": "idle"}
            kernel.session.send(kernel.iopub_socket, "status", content, parent=message, ident=topic)

    kernel.shell_handlers["comm_msg"] = handle_and_acknowledge


def kernel_warning() -> str:
    """Return a warning where this ipykernel cannot update widgets live, or an empty string."""
    version = metadata.version("ipykernel")
    if int(version.split(".")[0]) >= 7:
        return ""
    return (
        f"ipykernel {version} processes buttons, tabs and sliders only when the cell has ended, "
        "not while it awaits the search. Install a newer version and restart the kernel: "
        "pip install --upgrade 'ipykernel>=7'"
    )


def probe_kernel(changes: int = 3, seconds: float = 5.0) -> int:
    """Start a kernel, change a widget while a cell awaits, and count the acknowledged changes.

    Args:
        changes: The number of changes, each sent once the one before is acknowledged.
        seconds: How long the cell awaits the changes.

    Returns:
        The number of changes that the kernel acknowledged while the cell awaited; `changes` where
        the kernel works.

    Raises:
        RuntimeError: The kernel does not start, or the cell fails.
    """
    from jupyter_client import KernelManager

    manager = KernelManager(kernel_name="python3", transport="ipc")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        subshell = _create_subshell(client)
        execution = client.execute(_CODE.format(changes=changes, seconds=seconds))
        widget, pending, acknowledged = "", "", 0
        end = time.monotonic() + seconds + 60  # the imports of the cell may take long
        while time.monotonic() < end:
            message = client.get_iopub_msg(timeout=seconds + 60)
            parent, content = message["parent_header"].get("msg_id"), message["content"]
            status = content["execution_state"] if message["msg_type"] == "status" else ""
            idle = status == "idle"
            if message["msg_type"] == "error":
                raise RuntimeError(f"{content['ename']}: {content['evalue']}")
            if idle and parent == execution:
                return acknowledged
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                widget = content["text"].strip()
            if idle and parent == pending:
                acknowledged, pending = acknowledged + 1, ""
            if widget and not pending and acknowledged < changes:
                pending = _send_change(client, widget, acknowledged + 1, subshell)
        return acknowledged
    except queue.Empty:
        raise RuntimeError(f"the kernel has not answered in {seconds + 60:g} s") from None
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _create_subshell(client: "BlockingKernelClient") -> str | None:
    """Return the id of a new subshell, or None where the kernel has no subshells.

    JupyterLab sends widget messages to a subshell.
    """
    client.kernel_info()
    features = client.get_shell_msg(timeout=60)["content"].get("supported_features", [])
    if "kernel subshells" not in features:
        return None
    request = client.session.msg("create_subshell_request", {})
    client.control_channel.send(request)
    return client.get_control_msg(timeout=60)["content"].get("subshell_id")


def _send_change(
    client: "BlockingKernelClient", widget: str, value: int, subshell: str | None
) -> str:
    """Send a new value of a widget as a page does; return the id of the message."""
    data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
    message = client.session.msg("comm_msg", {"comm_id": widget, "data": data})
    if subshell is not None:
        message["header"]["subshell_id"] = subshell
    client.shell_channel.send(message)
    return message["header"]["msg_id"]
