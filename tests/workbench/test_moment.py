"""The slider over steps: what it says to the page, and what the page says to it."""

import pytest
import traitlets

from posenfs.workbench.moment import Moment


def test_steps_become_more_and_the_chosen_one_stays():
    moment, seen = Moment(description="snapshot"), []
    moment.observe(lambda change: seen.append(change["new"]), "value")
    moment.offer([0, 5, 10], 10)
    moment.offer([0, 5, 10, 20], 10)
    assert moment.options == [0, 5, 10, 20] and moment.value == 10 and seen == [10]
    moment.set_state({"value": 5})  # as the page does: the step, not its place in a list
    assert moment.value == 5 and seen == [10, 5]
    with pytest.raises(traitlets.TraitError):
        moment.offer(["first"], 0)
