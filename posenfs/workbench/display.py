"""How a widget comes to a notebook: in the place of the one before, kept fresh, or still where nobody can touch it."""

import asyncio
import html
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import HTML, display

from posenfs.workbench.kernel import acknowledge_changes, kernel_warning
from posenfs.workbench.threads import compute_alone

_WORKERS = ThreadPoolExecutor(1, "views", compute_alone)  # one for all: they must not take a search's cores
_TASKS: dict[tuple, asyncio.Task] = {}  # of what is shown in this kernel
_Result = TypeVar("_Result")

# Pictures are drawn on white. In a dark theme their lightness is turned round and their hues are kept; photographs
# and what is laid over them stay as they are.
_STYLE = """<style>
.posenfs-drawn { background: white }
[data-jp-theme-light="false"] .posenfs-drawn { filter: invert(0.9) hue-rotate(180deg) brightness(1.3) }
.posenfs-drawn svg { display: block }
.posenfs-drawn .posenfs-choice { cursor: pointer; outline: none }
.posenfs-drawn .posenfs-choice:is(:hover, :focus-visible) > :is(polygon, path, ellipse) {
  stroke: #d55e00; stroke-width: 2.5px
}
.posenfs .widget-html-content { line-height: 1.5 }
.posenfs p { margin: 4px 0 }
.posenfs table { border-collapse: collapse }
.posenfs :is(td, th) { padding: 2px 10px; text-align: left; border-bottom: 1px solid var(--jp-border-color2, #ccc) }
</style>"""


def headless() -> bool:
    """Whether nobody sits before this kernel: papermill and nbclient, which cannot be asked anything, run it."""
    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and not kernel._allow_stdin


def column(*children: widgets.Widget) -> widgets.VBox:
    """Widgets one below the other, and the look that all have in common."""
    made = widgets.VBox([widgets.HTML(_STYLE, layout={"display": "none"}), *children])
    made.add_class("posenfs")
    return made


def row(*children: widgets.Widget) -> widgets.HBox:
    """Widgets side by side, in further lines where the page is narrow."""
    return widgets.HBox(children, layout={"flex_flow": "row wrap"})


def button(words: str, icon: str, tip: str, does: Callable[[], object], **options: bool) -> widgets.Button:
    """A button as wide as its words."""
    made = widgets.Button(description=words, icon=icon, tooltip=tip, layout={"width": "auto"}, **options)
    made.on_click(lambda _: does())
    return made


def menu(words: str, options: list[tuple[str, object]] = (), **layout: str) -> widgets.Dropdown:
    """A choice, the first one made."""
    made = widgets.Dropdown(options=options, description=words, layout=layout)
    if options:
        made.index = 0  # of a first value None it would show nothing
    return made


def fill(menu: widgets.Dropdown, options: list[tuple[str, object]]) -> None:
    """Other options; the same choice where it is still one, else the first."""
    if list(menu.options) != options:
        kept = menu.value
        menu.options = options
        menu.index = next((n for n, (_, value) in enumerate(options) if value == kept), 0)


def picture() -> widgets.Image:
    """A place for a PNG; until it has one there is nothing to see."""
    made = widgets.Image(format="png", layout={"max_width": "100%", "display": "none"})
    made.observe(lambda change: setattr(made.layout, "display", None), "value")
    return made


def in_red(words: str) -> str:
    """Words that say what went wrong."""
    return f"<p style='color: var(--jp-error-color1, #b00020)'>{html.escape(words)}</p>"


def show(widget: widgets.Widget, still: Callable[[], str]) -> bool:
    """Display the widget; where nobody can touch it what it would show, as HTML. Whether it was the widget."""
    live = not headless()
    if live:
        acknowledge_changes()
        if warning := kernel_warning():
            display(HTML(in_red(warning)))
    display(widget if live else HTML(still()))
    return live


def keep_fresh(key: tuple, refresh: Callable[[], None], period: float) -> None:
    """Call `refresh` every so many seconds on the kernel's loop, in the place of whatever had this key before: a cell
    that is run again leaves nothing behind."""

    async def call() -> None:
        while True:
            refresh()
            await asyncio.sleep(period)

    if key in _TASKS:
        _TASKS.pop(key).cancel()
    _TASKS[key] = asyncio.get_running_loop().create_task(call())


class Background(Generic[_Result]):
    """One result after the other, made in a thread; asked twice meanwhile, the last asked is what comes next."""

    def __init__(self):
        self._running: Future[_Result] | None = None
        self._next: Callable[[], _Result] | None = None

    @property
    def busy(self) -> bool:
        return self._running is not None or self._next is not None

    def ask(self, work: Callable[[], _Result]) -> None:
        self._next = work

    def result(self) -> _Result | None:
        """What is done since, or None; raises what the work raised. To be called now and then: it begins what waits."""
        done, found = self._running is not None and self._running.done(), None
        if done:
            running, self._running = self._running, None
        if self._running is None and self._next is not None:
            self._running, self._next = _WORKERS.submit(self._next), None
        if done:
            found = running.result()
        return found
