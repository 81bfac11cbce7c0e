"""The answer and the result of a run in a few sentences, for the top of its page."""

from collections.abc import Iterator, Mapping, Sequence

from posenfs.body.words import many, plain_name
from posenfs.evaluation.metrics import metric_title
from posenfs.model.architecture import Architecture
from posenfs.model.cost import Cost
from posenfs.model.space import Sources
from posenfs.model.watch import Signs, warnings
from posenfs.search.run import Run
from posenfs.show.fabric_graph import operation_name
from posenfs.study.results import training_time


def run_summary(run: Run) -> str:
    """Summarise a run from the files of its folder.

    Args:
        run: A run, finished or not.

    Returns:
        Markdown: the choices of each fabric, the primary metric with its interval and the mean pose beside it, and how
        that was made. Without an evaluation it says how far the run is.
    """
    return "\n\n".join(_paragraphs(run))


def _paragraphs(run: Run) -> Iterator[str]:
    status, metrics = run.status(), run.metrics()
    state = run.state(status)
    if state != "finished":
        yield (
            f"**This run is not finished:** it is {state} at step {status.get('step', 0)} of "
            f"{status.get('steps', 'an unknown number')}. What follows is what its folder holds so far."
        )
    if architectures := _searched_architectures(run):
        yield f"**Answer.** {_choices(architectures, run.experiment().fabric.operations)}"
    signs: dict[str, dict] = next(
        (row["architecture"] for row in reversed(run.history()) if row.get("architecture")), {}
    )
    named = {plain_name(name): Signs(**values) for name, values in signs.items()}
    yield from (f"**Warning.** {warning[0].upper()}{warning[1:]}." for warning in warnings(named))
    if metrics:
        yield f"**Result.** {_score(metrics)}"
    if metrics and run.timing():
        yield f"**How.** {_origin(run, metrics)}"


def _searched_architectures(run: Run) -> dict[str, Architecture]:
    """The last alpha and beta of each part; none where nothing is searched (random weights, a discrete child)."""
    experiment = run.experiment()
    if (
        not run.architecture_files()
        or experiment.genotype is not None
        or experiment.run.strategy == "random"
    ):
        return {}
    _, architectures = run.architectures()
    return {
        name: Architecture(own.alpha[-1], own.beta[-1])
        for name, own in architectures.items()
        if name != "backbone"
    }


def _choices(architectures: Mapping[str, Architecture], operations: Sequence[str]) -> str:
    """The operation and the source with the greatest mean weight in each fabric, and how far they are from equal."""
    choices, distances = [], []
    for name, architecture in architectures.items():
        alpha = architecture.operation_weights.flatten(0, -2).mean(0)  # [|O|]
        beta = architecture.scale_weights.mean(0)  # [3]
        distances += [float((weights - 1 / len(weights)).abs().max()) for weights in (alpha, beta)]
        operation, source = (
            operation_name(operations[int(alpha.argmax())]),
            Sources._fields[int(beta.argmax())],
        )
        choices.append(
            f"the {plain_name(name)} {operation} ({alpha.max():.1%}) and the {source} map ({beta.max():.1%})"
        )
    equal = f"{1 / len(operations):.1%} and {1 / 3:.1%}"
    return (
        f"By the greatest mean weight, these are chosen: {'; '.join(choices)}. Equal weights are {equal}; the largest "
        f"distance from them is {100 * max(distances):.1f} percentage points. Other seeds may choose otherwise."
    )


def _score(metrics: Mapping) -> str:
    name = metrics["headline"]
    interval, mean_pose = metrics.get("intervals", {}).get(name), metrics["mean_pose"].get(name)
    sentence = f"{metric_title(name)} **{metrics['metrics'][name]:.1f}**"
    if interval:
        sentence += f" ({interval['confidence']:.0%} interval over people: {interval['low']:.1f} to {interval['high']:.1f})"
    sentence += f" on {many(metrics['people'], 'person', 'people')} that the network has not seen"
    if mean_pose is not None:
        sentence += f"; the mean pose of the training people, which never looks at the image, reaches {mean_pose:.1f}"
    return f"{sentence}."


def _origin(run: Run, metrics: Mapping) -> str:
    experiment, provenance, time = run.experiment(), run.provenance(), training_time(run)
    cost = Cost(metrics["params"], metrics["multiply_adds"])
    height, width = experiment.image_size
    searched = f"strategy {experiment.run.strategy}, " if experiment.model == "pose_nfs" else ""
    return (
        f"Data {experiment.data.name}, {height} x {width} px, {searched}{many(experiment.run.epochs, 'epoch')}, seed "
        f"{experiment.run.seed}; training steps took {_duration(time['hours'])} on {time['device']} with "
        f"{many(time['threads'], 'thread')}; the network has {cost} for one crop; posenfs "
        f"{provenance['versions']['posenfs']}, commit {provenance['commit']}."
    )


def _duration(hours: float | None) -> str:
    if hours is None:
        return "a time that was not measured"
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"
