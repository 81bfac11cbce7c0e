"""Pictures that are drawn again and again, and that can be clicked: plotly's figures, and Graphviz's graphs."""

from collections.abc import Callable

import anywidget
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs

from posenfs.show.canvas import Canvas


class Plot(anywidget.AnyWidget):
    """A plotly figure as wide as its page. `clicked(column, row)` is called for a click on a heatmap.

    A FigureWidget would bring plotly's program with every figure, megabytes that a busy machine does not load within
    the two seconds which anywidget allows before it leaves a widget dead. Here a page asks for it once.
    """

    _esm = """
    const PATIENCE = 20000;  // ms after which plotly is asked for again: the kernel that was asked is gone
    function loadPlotly(model) {
      const known = globalThis.posenfsPlotly;
      if (known && (known.there || Date.now() - known.asked < PATIENCE)) return known.promise;
      const own = { asked: Date.now(), there: false };
      own.promise = new Promise((resolve, reject) => {
        const heed = (content, buffers) => {
          if (!content.plotly) return;
          model.off("msg:custom", heed);
          const script = document.createElement("script");
          script.src = URL.createObjectURL(new Blob([buffers[0]], { type: "text/javascript" }));
          script.onload = () => { own.there = true; resolve(globalThis.Plotly); };
          script.onerror = () => reject(new Error("plotly cannot be loaded"));
          document.head.append(script);
        };
        model.on("msg:custom", heed);
        model.send({ needs: "plotly" });
      });
      globalThis.posenfsPlotly = own;
      return own.promise;
    }
    function render({ model, el }) {
      if (model.get("drawn")) el.classList.add("posenfs-drawn");
      el.style.width = "100%";
      const box = document.createElement("div");
      el.append(box);
      let plotly = null, last = Promise.resolve(), fixed = true;  // whether the figure has a width of its own
      const fit = () => {
        const now = el.clientWidth;  // 0 on a tab that is not looked at
        if (!fixed && now && now !== box.layout.width) plotly.relayout(box, { width: now });
      };
      const draw = async () => {
        if (!model.get("content")) return;
        plotly = await loadPlotly(model);
        const { data, layout } = JSON.parse(model.get("content"));
        layout.uirevision = data.map((trace) => trace.type).join();  // a zoom is kept while the same lines grow
        const first = !box.layout, own = layout.width !== undefined;
        if (!own && el.clientWidth) layout.width = el.clientWidth;
        await plotly.react(box, data, layout, { displaylogo: false });
        if (first) box.on("plotly_click", ({ points: [at] }) => {
          if (at.data.type === "heatmap") model.send({ clicked: [Math.round(at.x), Math.round(at.y)] });
        });
        fixed = own;
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

    content = traitlets.Unicode("").tag(sync=True)  # a figure in plotly's JSON; empty: none
    drawn = traitlets.Bool(True).tag(sync=True)  # on white, not laid over a photograph

    def __init__(self, clicked: Callable[[int, int], None] | None = None, drawn: bool = True):
        super().__init__(drawn=drawn, layout={"width": "100%"})
        self.figure: go.Figure | None = None
        self._clicked = clicked
        self.on_msg(lambda _, content, buffers: self._heed(content))

    def draw(self, figure: go.Figure) -> None:
        """Show this figure; where the same lines have only grown, the browser keeps its zoom."""
        self.figure, self.content = figure, figure.to_json()

    def _heed(self, content: dict) -> None:
        if content.get("needs") == "plotly":
            self.send({"plotly": True}, [get_plotlyjs().encode()])
        elif self._clicked is not None and "clicked" in content:
            self._clicked(*content["clicked"])


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
