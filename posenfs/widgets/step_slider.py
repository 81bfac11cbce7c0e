"""A slider over the steps of a search, whose number grows while the search runs."""

import anywidget
import traitlets


class StepSlider(anywidget.AnyWidget):
    """A slider over a list of steps whose `value` is the step itself.

    The keyboard moves it by arrows, Page Up, Page Down, Home and End. It replaces the slider of
    ipywidgets, whose End key goes to the last of the initial options, and which reports the index
    of an option, possibly of an older list.
    """

    _esm = """
    function render({ model, el }) {
      el.classList.add("posenfs-moment");
      const label = document.createElement("label");
      const description = document.createElement("span");
      const slider = document.createElement("input");
      Object.assign(slider, { type: "range", min: 0, step: 1 });
      const readout = document.createElement("output");
      description.textContent = model.get("description");
      label.append(description, slider);
      el.append(label, readout);
      const selected = () => model.get("options")[Number(slider.value)];
      const show = () => {
        const options = model.get("options"), at = options.indexOf(model.get("value"));
        slider.max = options.length - 1;
        if (at >= 0) slider.value = at;
        readout.textContent = selected();
        slider.setAttribute("aria-valuetext", `step ${selected()}`);
      };
      slider.addEventListener("input", () => { readout.textContent = selected(); });
      slider.addEventListener("change", () => {
        model.set("value", selected());
        model.save_changes();
      });
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

    options = traitlets.List(traitlets.Int(), [0]).tag(
        sync=True
    )  # the steps in order, at least one
    value = traitlets.Int(0).tag(sync=True)
    description = traitlets.Unicode("").tag(sync=True)

    def set_steps(self, options: list[int], value: int) -> None:
        """Replace the steps and select one of them.

        Args:
            options: The steps in order, at least one.
            value: The step to select.
        """
        with self.hold_sync():
            self.options, self.value = options, value
