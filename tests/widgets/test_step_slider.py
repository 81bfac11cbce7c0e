"""The slider over steps and its synchronisation with the page."""

import pytest
import traitlets

from posenfs.widgets.step_slider import StepSlider


def test_selected_step_stays_when_steps_are_added():
    slider, seen = StepSlider(description="checkpoint"), []
    slider.observe(lambda change: seen.append(change["new"]), "value")
    slider.set_steps([0, 5, 10], 10)
    slider.set_steps([0, 5, 10, 20], 10)
    assert slider.options == [0, 5, 10, 20] and slider.value == 10 and seen == [10]
    slider.set_state({"value": 5})  # as the page does: the step, not its index
    assert slider.value == 5 and seen == [10, 5]
    with pytest.raises(traitlets.TraitError):
        slider.set_steps(["first"], 0)
