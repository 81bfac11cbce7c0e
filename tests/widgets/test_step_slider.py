"""The slider over steps and its synchronisation with the page."""

import pytest
import traitlets

from posenfs.widgets.step_slider import StepSlider


def test_selected_step_stays_when_steps_are_added():
    moment, seen = StepSlider(description="checkpoint"), []
    moment.observe(lambda change: seen.append(change["new"]), "value")
    moment.offer([0, 5, 10], 10)
    moment.offer([0, 5, 10, 20], 10)
    assert moment.options == [0, 5, 10, 20] and moment.value == 10 and seen == [10]
    moment.set_state({"value": 5})  # as the page does: the step, not its index
    assert moment.value == 5 and seen == [10, 5]
    with pytest.raises(traitlets.TraitError):
        moment.offer(["first"], 0)
