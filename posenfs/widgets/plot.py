"""Clickable figures that are redrawn in place: plotly figures and Graphviz graphs."""

from collections.abc import Callable

import anywidget
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs

from posenfs.viz.canvas import Canvas


class Plot(anywidget.AnyWidget):
    """A plotly figure as wide as its page.

    A page requests plotly's JavaScript from the kernel once. plotly's own FigureWidget sends these
    megabytes with every figure, and a busy machine does not load them within the two seconds after
    which anywidget gives a widget up.

    Args:
        clicked: Called with (column, row) when a heatmap is clicked.
        drawn: Whether the figure is drawn on white; False for maps laid over a photograph.
    """

    _esm = """
    const PATIENCE = 20000;  // ms after which plotly is requested again from the next kernel
    function loadPlotly(model) {
      const last = globalThis.posenfsPlotly;
      if (last && (last.loaded || Date.now() - last.requested < PATIENCE)) return last.promise;
      const request = { requested: Date.now(), loaded: false };
      request.promise = new Promise((resolve, reject) => {
        const receive = (content, buffers) => {
          if (!content.plotly) return;
          model.off("msg:custom", receive);
          const script = document.createElement("script");
          const code = new Blob([buffers[0]], { type: "text/javascript" });
          script.src = URL.createObjectURL(code);
          script.onload = () => { request.loaded = true; resolve(globalThis.Plotly); };
          script.onerror = () => reject(new Error("plotly cannot be loaded"));
          document.head.append(script);
        };
        model.on("msg:custom", receive);
        model.send({ needs: "plotly" });
      });
      globalThis.posenfsPlotly = request;
      return request.promise;
    }
    function render({ model, el }) {
      if (model.get("drawn")) el.classList.add("posenfs-drawn");
      el.style.width = "100%";
      const box = document.createElement("div");
      el.append(box);
      let plotly = null, last = Promise.resolve();
      let fixed = true;  // whether the figure sets its own width
      const fit = () => {
        const width = el.clientWidth;  // 0 on a hidden tab
        if (!fixed && width && width !== box.layout.width) plotly.relayout(box, { width });
      };
      const draw = async () => {
        if (!model.get("content")) return;
        plotly = await loadPlotly(model);
        const { data, layout } = JSON.parse(model.get("content"));
        // A zoom is kept while the traces have the same types.
        layout.uirevision = data.map((trace) => trace.type).join();
        const first = !box.layout, hasWidth = layout.width !== undefined;
        if (!hasWidth && el.clientWidth) layout.width = el.clientWidth;
        await plotly.react(box, data, layout, { displaylogo: false });
        if (first) box.on("plotly_click", ({ points: [at] }) => {
          if (at.data.type !== "heatmap") return;
          model.send({ clicked: [Math.round(at.x), Math.round(at.y)] });
        });
        fixed = hasWidth;
        fit();
      };
      const next = () => { last = last.then(draw).catch((error) => console.error(error)); };
      const observer = new ResizeObserver(fit);
      observer.observe(el);
      model.on("change:content", next);
      next();
      return () => {
        model.off("change:content", next);
        observer.disconnect();
        if (plotly) plotly.purge(box);
      };
    }
    export default { render };
    """

    content = traitlets.Unicode("").tag(sync=True)  # the figure as plotly's JSON, or empty
    drawn = traitlets.Bool(True).tag(sync=True)

    def __init__(self, clicked: Callable[[int, int], None] | None = None, drawn: bool = True):
        super().__init__(drawn=drawn, layout={"width": "100%"})
        self.figure: go.Figure | None = None
        self._clicked = clicked
        self.on_msg(lambda _, content, buffers: self._receive(content))

    def draw(self, figure: go.Figure) -> None:
        """Show a figure. The browser keeps its zoom while the traces have the same types.

        Args:
            figure: The figure to show.
        """
        self.figure, self.content = figure, figure.to_json()

    def _receive(self, content: dict) -> None:
        """Process a message of the page: a request for plotly, or a click."""
        if content.get("needs") == "plotly":
            self.send({"plotly": True}, [get_plotlyjs().encode()])
        elif self._clicked is not None and "clicked" in content:
            self._clicked(*content["clicked"])


class Drawing(anywidget.AnyWidget):
    """A Canvas whose nodes of one class are chosen by a click, or by Tab and Enter.

    Args:
        choosable: The class of the nodes that can be chosen; empty for none.
        on_choice: Called with the name of the chosen node.
    """

    _esm = """
    function render({ model, el }) {
      const choices = () => "g.node." + model.get("choosable");
      const draw = () => {
        const focused = document.activeElement?.querySelector?.("title")?.textContent;
        el.innerHTML = model.get("svg");
        el.className = "posenfs-drawn";
        if (!model.get("choosable")) return;
        for (const node of el.querySelectorAll(choices())) {
          node.classList.add("posenfs-choice");
          node.setAttribute("tabindex", "0");
          node.setAttribute("role", "button");
          if (focused && node.querySelector("title").textContent === focused) node.focus();
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
    choosable = traitlets.Unicode("").tag(sync=True)

    def __init__(self, choosable: str = "", on_choice: Callable[[str], None] | None = None):
        super().__init__(choosable=choosable)
        if on_choice is not None:
            self.on_msg(lambda _, content, buffers: on_choice(content["chosen"]))

    def draw(self, canvas: Canvas | None) -> None:
        """Show a drawing, or nothing.

        Args:
            canvas: The drawing; None clears the widget.
        """
        self.svg = canvas.svg() if canvas is not None else ""
