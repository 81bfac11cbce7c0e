"""Display of widgets in notebooks: live and refreshed, or as static HTML in headless kernels."""

import asyncio
import html
from collections.abc import Callable, Sequence

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import HTML, display

from posenfs.widgets.kernel import acknowledge_changes, kernel_warning

_TASKS: dict[tuple, asyncio.Task] = {}  # the refresh tasks of this kernel's widgets, by key

# Figures are drawn on white. A dark theme inverts their lightness and keeps their hues; photographs
# and what is drawn over them stay unchanged.
_STYLE = """<style>
.posenfs-drawn { background: white }
[data-jp-theme-light="false"] .posenfs-drawn {
  filter: invert(0.9) hue-rotate(180deg) brightness(1.3)
}
.posenfs-drawn svg { display: block }
.posenfs-drawn .posenfs-choice { cursor: pointer; outline: none }
.posenfs-drawn .posenfs-choice:is(:hover, :focus-visible) > :is(polygon, path, ellipse) {
  stroke: #d55e00; stroke-width: 2.5px
}
.posenfs .widget-html-content { line-height: 1.5 }
.posenfs p { margin: 4px 0 }
.posenfs table { border-collapse: collapse }
.posenfs :is(td, th) {
  padding: 2px 10px; text-align: left; border-bottom: 1px solid var(--jp-border-color2, #ccc)
}
</style>"""


def headless() -> bool:
    """Return whether the kernel runs without a user, as under papermill and nbclient.

    Such kernels are recognised by not allowing input requests.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and not kernel._allow_stdin


def column(*children: widgets.Widget) -> widgets.VBox:
    """Return the widgets in a column, with the common style sheet."""
    style = widgets.HTML(_STYLE, layout={"display": "none"})
    box = widgets.VBox([style, *children])
    box.add_class("posenfs")
    return box


def row(*children: widgets.Widget) -> widgets.HBox:
    """Return the widgets in a row that wraps where the page is narrow."""
    return widgets.HBox(children, layout={"flex_flow": "row wrap"})


def button(
    label: str, icon: str, tooltip: str, action: Callable[[], object], **options: bool
) -> widgets.Button:
    """Return a button as wide as its label, which calls `action` when it is clicked."""
    layout = {"width": "auto"}
    widget = widgets.Button(description=label, icon=icon, tooltip=tooltip, layout=layout, **options)
    widget.on_click(lambda _: action())
    return widget


def menu(label: str, options: Sequence[tuple[str, object]] = (), **layout: str) -> widgets.Dropdown:
    """Return a drop-down menu of (label, value) options with the first one selected."""
    widget = widgets.Dropdown(options=options, description=label, layout=layout)
    if options:
        widget.index = 0  # ipywidgets selects no option where the first value is None
    return widget


def set_options(menu: widgets.Dropdown, options: list[tuple[str, object]]) -> None:
    """Replace the options of a menu; select the same value as before, or else the first one."""
    if list(menu.options) == options:
        return
    selected = menu.value
    menu.options = options
    values = [value for _, value in options]
    menu.index = values.index(selected) if selected in values else 0


def image_box() -> widgets.Image:
    """Return a widget for a PNG, hidden until it has one."""
    widget = widgets.Image(format="png", layout={"max_width": "100%", "display": "none"})
    widget.observe(lambda change: setattr(widget.layout, "display", None), "value")
    return widget


def error_html(message: str) -> str:
    """Return an error message as HTML, escaped."""
    return f"<p style='color: var(--jp-error-color1, #b00020)'>{html.escape(message)}</p>"


def show(widget: widgets.Widget, static_html: Callable[[], str]) -> bool:
    """Display a widget, or its static HTML in a headless kernel.

    Args:
        widget: The widget to display.
        static_html: Returns the static HTML; called in a headless kernel only.

    Returns:
        Whether the live widget is displayed.
    """
    live = not headless()
    if live:
        acknowledge_changes()
        if warning := kernel_warning():
            display(HTML(error_html(warning)))
    display(widget if live else HTML(static_html()))
    return live


def refresh_periodically(key: tuple, refresh: Callable[[], None], period: float) -> None:
    """Call `refresh` periodically on the kernel's event loop.

    Args:
        key: Identifies the widget. A task with the same key is cancelled first, so that running a
            cell again leaves no old task behind.
        refresh: The function to call.
        period: The time between two calls (s).
    """

    async def call() -> None:
        while True:
            refresh()
            await asyncio.sleep(period)

    if key in _TASKS:
        _TASKS.pop(key).cancel()
    _TASKS[key] = asyncio.get_running_loop().create_task(call())
