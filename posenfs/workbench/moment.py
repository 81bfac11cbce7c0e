"""A slider over the steps of a search, which become more while one looks at it."""

import anywidget
import traitlets


class Moment(anywidget.AnyWidget):
    """One of some steps: `value` is the step itself. By the keyboard too: arrows, Page Up and Down, Home and End.

    The slider of ipywidgets takes End for the last of the options that it began with, and tells the place in a list
    that may be another one by then.
    """

    _esm = """
    function render({ model, el }) {
      el.classList.add("posenfs-moment");
      const label = document.createElement("label"), words = document.createElement("span");
      const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, step: 1 });
      const readout = document.createElement("output");
      words.textContent = model.get("description");
      label.append(words, slider);
      el.append(label, readout);
      const chosen = () => model.get("options")[Number(slider.value)];
      const show = () => {
        const options = model.get("options"), at = options.indexOf(model.get("value"));
        slider.max = options.length - 1;
        if (at >= 0) slider.value = at;
        readout.textContent = chosen();
        slider.setAttribute("aria-valuetext", `step ${chosen()}`);
      };
      slider.addEventListener("input", () => { readout.textContent = chosen(); });
      slider.addEventListener("change", () => { model.set("value", chosen()); model.save_changes(); });
      model.on("change:options change:value", show);
      show();
      return () => model.off("change:options change:value", show);
    }
    export default { render };
    """
    _css = """
    .posenfs-moment, .posenfs-moment label { display: flex; align-items: center; gap: 8px }
    .posenfs-moment { margin: 2px; font-size: var(--jp-widgets-font-size) }
    .posenfs-moment span { min-width: 72px; text-align: right }
    .posenfs-moment input { width: 220px; accent-color: var(--jp-brand-color1) }
    .posenfs-moment output { min-width: 48px }
    """

    options = traitlets.List(traitlets.Int(), [0]).tag(sync=True)  # steps in order, at least one
    value = traitlets.Int(0).tag(sync=True)
    description = traitlets.Unicode("").tag(sync=True)

    def offer(self, options: list[int], value: int) -> None:
        """These steps, and one of them chosen."""
        with self.hold_sync():
            self.options, self.value = options, value
