"""Views of a search panel that compute in the background: predictions and costs."""

import ipywidgets as widgets
import plotly.graph_objects as go

from posenfs.messages import plain_name
from posenfs.model.cost import Cost, measured_cost
from posenfs.model.expected_cost import ExpectedCost
from posenfs.model.network import PoseNFS
from posenfs.model.pruning import prune
from posenfs.viz.costs import expected_cost_curve
from posenfs.viz.poses import draw_people
from posenfs.viz.score_maps import draw_person_map, draw_person_maps
from posenfs.widgets.background import BackgroundWorker
from posenfs.widgets.display import error_html, image_box, menu, row
from posenfs.widgets.plot import Plot
from posenfs.widgets.run_context import RunContext
from posenfs.widgets.run_reader import RunReader

_PREDICTED = 3  # annotated people in the predictions
_MAX_COSTS = 60  # points of the curve of the expected cost


class PredictionsView:
    """Predictions of the last checkpoint on validation images: skeletons and score maps."""

    title, reads = "Predictions", frozenset({"checkpoints"})

    def __init__(self, subject: RunContext, reader: RunReader):
        self.subject, self.reader = subject, reader
        self._worker: BackgroundWorker[tuple[int, bytes, bytes]] = BackgroundWorker()
        self._shown: int | None = None  # the step of the checkpoint that is shown
        names = subject.skeleton.keypoints
        self.person = menu("maps of", [(f"person {n}", n) for n in range(_PREDICTED)])
        keypoints = [("all keypoints", None), *((plain_name(name), name) for name in names)]
        self.keypoint = menu("keypoint", keypoints)
        self._note, self._people, self._maps = widgets.HTML(), image_box(), image_box()
        controls = row(self.person, self.keypoint)
        self.widget = widgets.VBox([self._note, self._people, controls, self._maps])
        for control in (self.person, self.keypoint):
            control.observe(lambda change: self._submit(), "value")

    def refresh(self) -> None:
        """Start a prediction where there is a new checkpoint; show the last result."""
        checkpoints = self.reader.checkpoints
        if not checkpoints:
            self._note.value = (
                "The end of an epoch writes the first checkpoint, which is needed to predict."
            )
        elif self._shown != checkpoints[-1]:
            self._submit()
        try:
            result = self._worker.result()
        except Exception as error:  # raised in the worker thread
            self._note.value = error_html(str(error))
            return
        if result is not None:
            step, self._people.value, self._maps.value = result
            self._note.value = f"The network of step {step}, on people that it was not trained on."

    @property
    def busy(self) -> bool:
        """Whether a prediction is computed."""
        return self._worker.busy

    def _submit(self) -> None:
        """Predict with the last checkpoint in the worker thread."""
        if not self.reader.checkpoints:
            return
        step, subject = self.reader.checkpoints[-1], self.subject
        person, keypoint = self.person.value, self.keypoint.value
        self._shown = step

        def predict() -> tuple[int, bytes, bytes]:
            network = subject.network_at(step)
            people = subject.people.select(slice(_PREDICTED))
            if keypoint is None:
                maps = draw_person_maps(network, people, person, subject.size)
            else:
                maps = draw_person_map(network, people, person, keypoint, subject.size)
            return step, draw_people(network, people, subject.size).png(), maps.png()

        self._worker.submit(predict)
        self._note.value = f"predicting with the network of step {step} …"


class CostView:
    """Multiply-adds and parameters of the supernet, expected by alpha and beta, and pruned."""

    title, reads = "Cost", frozenset({"checkpoints"})

    def __init__(self, subject: RunContext, reader: RunReader):
        self.subject, self.reader = subject, reader
        self._worker: BackgroundWorker[tuple[list[tuple[str, Cost]], go.Figure | None]] = (
            BackgroundWorker()
        )
        self._table, self._curve = widgets.HTML("counting …"), Plot()
        self.widget = widgets.VBox([self._table, self._curve])

    @property
    def busy(self) -> bool:
        """Whether costs are computed."""
        return self._worker.busy

    def refresh(self) -> None:
        """Start computing the costs, unless that is under way; show the last result."""
        if not self._worker.busy:
            self._worker.submit(self._costs)
        result = self._worker.result()
        if result is None:
            return
        costs, curve = result
        cells = "".join(
            f"<tr><td>{name}</td><td>{cost.gmac:.3f}</td><td>{cost.params:,}</td></tr>"
            for name, cost in costs
        )
        head = "<tr><th></th><th>GMAC an image</th><th>parameters</th></tr>"
        self._table.value = f"<table>{head}{cells}</table>"
        if curve is not None:
            self._curve.draw(curve)

    def _costs(self) -> tuple[list[tuple[str, Cost]], go.Figure | None]:
        """Return the named costs, and the curve of the expected cost where alpha is logged."""
        network, (height, width) = self.subject.network, self.subject.size
        supernet = measured_cost(network, height, width)
        costs = [("the supernet, which a search trains", supernet)]
        searched = isinstance(network, PoseNFS) and bool(network.fabrics())
        if not searched or not len(self.reader.steps):
            return costs, None
        steps, architectures = self.reader.thinned(_MAX_COSTS)
        current = network.with_architectures(self.reader.at(int(steps[-1]))[1])
        for mode, name in (
            ("exact", "after exact pruning: without weights of 0.0 and what depends on them"),
            ("one-hot", "the one-hot child: only the greatest weights, zero operations included"),
        ):
            costs.append((name, measured_cost(prune(current, mode), height, width)))
        expected = ExpectedCost(current, height, width)
        return costs, expected_cost_curve(steps, architectures, expected, supernet)
