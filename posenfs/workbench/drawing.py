"""Pictures that are drawn again and again, and that can be clicked: plotly's figures, and Graphviz's graphs."""

from collections.abc import Callable

import anywidget
import ipywidgets as widgets
import plotly.graph_objects as go
import traitlets

from posenfs.show.canvas import Canvas


class _Fit(anywidget.AnyWidget):
    """Tells the figures of a page when there is another width for them: they themselves heed the window's alone."""

    _esm = """
    export default {
      render({ el }) {
        el.style.width = "100%";
        const observer = new ResizeObserver(() => window.dispatchEvent(new Event("resize")));
        observer.observe(el);
        return () => observer.disconnect();
      },
    };
    """


class Plot:
    """A plotly figure as wide as its page. `clicked(column, row)` is called for a click on a heatmap."""

    def __init__(self, clicked: Callable[[int, int], None] | None = None, drawn: bool = True):
        self.widget = widgets.VBox(layout={"width": "100%"})
        if drawn:  # not laid over a photograph
            self.widget.add_class("posenfs-drawn")
        self.figure: go.FigureWidget | None = None
        self._clicked = clicked

    def draw(self, figure: go.Figure) -> None:
        """Show this figure; where the same lines have only grown, the browser keeps its zoom."""
        if self.figure is None or [t.type for t in self.figure.data] != [t.type for t in figure.data]:
            self.figure = go.FigureWidget(figure)
            self.figure._config = {"responsive": True, "displaylogo": False}
            self.widget.children = [_Fit(), self.figure]
            self._listen()
            return
        layout = figure.layout.to_plotly_json()
        layout.pop("template", None)  # large, and the same
        with self.figure.batch_update():
            for own, new in zip(self.figure.data, figure.data, strict=True):
                own.update(new.to_plotly_json(), overwrite=True)
            self.figure.update_layout(layout)  # what it does not name, such as a zoom, stays

    def _listen(self) -> None:
        def heed(trace, points, state) -> None:
            if points.xs:
                self._clicked(round(points.xs[0]), round(points.ys[0]))

        if self._clicked is not None:
            for trace in self.figure.select_traces({"type": "heatmap"}):
                trace.on_click(heed)


class Drawing(anywidget.AnyWidget):
    """A Canvas whose nodes of one class can be chosen, by a click or by the keyboard's Enter: `on_choice(name)`."""

    _esm = """
    function render({ model, el }) {
      const choices = () => "g.node." + model.get("choosable");
      const draw = () => {
        const at = document.activeElement?.querySelector?.("title")?.textContent;
        el.innerHTML = model.get("svg");
        el.className = "posenfs-drawn";
        if (!model.get("choosable")) return;
        for (const node of el.querySelectorAll(choices())) {
          node.classList.add("posenfs-choice");
          node.setAttribute("tabindex", "0");
          node.setAttribute("role", "button");
          if (at && node.querySelector("title").textContent === at) node.focus();
        }
      };
      const choose = (event) => {
        if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
        const node = model.get("choosable") && event.target.closest(choices());
        if (!node) return;
        event.preventDefault();
        event.stopPropagation();
        model.send({ chosen: node.querySelector("title").textContent });
      };
      el.addEventListener("click", choose);
      el.addEventListener("keydown", choose);
      model.on("change:svg", draw);
      draw();
    }
    export default { render };
    """

    svg = traitlets.Unicode("").tag(sync=True)
    choosable = traitlets.Unicode("").tag(sync=True)  # the class of the nodes that can be chosen; empty: none

    def __init__(self, choosable: str = "", on_choice: Callable[[str], None] | None = None):
        super().__init__(choosable=choosable)
        if on_choice is not None:
            self.on_msg(lambda _, content, buffers: on_choice(content["chosen"]))

    def draw(self, canvas: Canvas | None) -> None:
        """Show this picture, or nothing."""
        self.svg = canvas.svg() if canvas is not None else ""
