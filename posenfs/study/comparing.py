"""Paired comparison of two runs on the same people."""

from posenfs.data.datasets.catalogue import skeleton_of
from posenfs.evaluation.metrics import metric_title
from posenfs.evaluation.pck import counted_keypoints
from posenfs.evaluation.stats import Comparison, compare_pck
from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import RunDir


def compare_runs(run: RunDir, other: RunDir) -> tuple[Comparison, str]:
    """Compare the scores of two runs from the stored errors of each person.

    The interval describes the variation over people, not over seeds.

    Args:
        run: The first run.
        other: The second run.

    Returns:
        The comparison (second minus first), and the name of the metric.

    Raises:
        RunError: A run is not finished.
        ValueError: The runs were not evaluated on the same people by the same metric.
    """
    metrics = [_interval(own)["metric"] for own in (run, other)]
    if metrics[0] != metrics[1]:
        raise ValueError(
            f"{run.name} is judged by {metrics[0]}, {other.name} by {metrics[1]}: "
            "they cannot be compared"
        )
    validation = [
        list(own.provenance()["data"].values())[-1]["fingerprint"] for own in (run, other)
    ]
    if validation[0] != validation[1]:
        raise ValueError(f"{run.name} and {other.name} were not evaluated on the same people")
    measure, _, threshold = metrics[0].partition("@")
    counted = counted_keypoints(skeleton_of(run.experiment().data), measure)
    return compare_pck(
        run.errors()[:, counted], other.errors()[:, counted], float(threshold)
    ), metric_title(metrics[0])


def _interval(run: RunDir) -> dict:
    found = run.metrics().get("interval")
    if found is None:
        raise RunError(f"{run.name} has no result yet; finish it: posenfs resume {run.argument}")
    return found
