"""The choices and the result of a run in a few sentences, for the top of its page."""

from collections.abc import Iterator, Mapping, Sequence

from posenfs.evaluation.metrics import metric_title
from posenfs.messages import many, plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.collapse import CollapseSigns, collapse_warnings
from posenfs.model.cost import Cost
from posenfs.model.space import Sources
from posenfs.search.result import describe_score, result_doubts
from posenfs.search.run_dir import RunDir
from posenfs.study.results import training_time
from posenfs.viz.fabric_weights import operation_name


def summarise_run(run: RunDir) -> str:
    """Summarise a run from the files of its folder.

    Args:
        run: A run, finished or not.

    Returns:
        Markdown: the choices of each fabric, the primary metric with its interval and the score of
        the mean pose, and the settings of the run. Of an unfinished run, its progress.
    """
    return "\n\n".join(_paragraphs(run))


def _paragraphs(run: RunDir) -> Iterator[str]:
    status, metrics = run.status(), run.metrics()
    state = run.state(status)
    if state != "finished":
        step, steps = status.get("step", 0), status.get("steps", "an unknown number")
        yield (
            f"**This run is not finished:** it is {state} at step {step} of {steps}. "
            "The following summarises the files that its folder contains so far."
        )
    if architectures := _searched_architectures(run):
        yield f"**Answer.** {_choices(architectures, run.experiment().fabric.operations)}"
    signs = {plain_name(name): CollapseSigns(**values) for name, values in _last_signs(run).items()}
    for warning in collapse_warnings(signs):
        yield f"**Warning.** {warning[0].upper()}{warning[1:]}."
    if metrics:
        yield f"**Result.** {_score(metrics)}"
        if doubts := result_doubts(metrics):
            yield f"**Data.** {'. '.join(doubts)}."
    if metrics and run.timing():
        yield f"**How.** {_origin(run, metrics)}"


def _last_signs(run: RunDir) -> dict[str, dict]:
    """Return the signs of collapse of each fabric at the last evaluation that has them."""
    for row in reversed(run.history()):
        if row.get("architecture"):
            return row["architecture"]
    return {}


def _searched_architectures(run: RunDir) -> dict[str, Architecture]:
    """Return the last alpha and beta of each part; none for random or fixed architectures."""
    experiment = run.experiment()
    fixed = experiment.genotype is not None or experiment.search.strategy == "random"
    if fixed or not run.architecture_log.files():
        return {}
    _, architectures = run.architectures()
    return {
        name: Architecture(history.alpha[-1], history.beta[-1])
        for name, history in architectures.items()
        if name != "backbone"
    }


def _choices(architectures: Mapping[str, Architecture], operations: Sequence[str]) -> str:
    """Return the choices of greatest mean weight, and their distance from equal weights."""
    choices: list[str] = []
    distances: list[float] = []
    for name, architecture in architectures.items():
        alpha = architecture.operation_weights.flatten(0, -2).mean(0)  # [|O|]
        beta = architecture.scale_weights.mean(0)  # [3]
        for weights in (alpha, beta):
            distances.append(float((weights - 1 / len(weights)).abs().max()))
        operation = operation_name(operations[int(alpha.argmax())])
        source = Sources._fields[int(beta.argmax())]
        choices.append(
            f"the {plain_name(name)} {operation} ({alpha.max():.1%}) "
            f"and the {source} map ({beta.max():.1%})"
        )
    equal = f"{1 / len(operations):.1%} and {1 / 3:.1%}"
    return (
        f"By the greatest mean weight, these are chosen: {'; '.join(choices)}. "
        f"Equal weights are {equal}; the largest distance from them is "
        f"{100 * max(distances):.1f} percentage points. Other seeds may give other choices."
    )


def _score(metrics: Mapping) -> str:
    """Return a sentence with the primary metric, its interval and the score of the mean pose."""
    name = metrics["primary_metric"]
    interval = metrics.get("intervals", {}).get(name)
    mean_pose = metrics["mean_pose"].get(name)
    score = metrics["metrics"].get(name)
    if score is None:
        return describe_score(metrics) + "."
    sentence = f"{metric_title(name)} **{score:.1f}**"
    if interval and interval["low"] is not None:
        bounds = f"{interval['low']:.1f} to {interval['high']:.1f}"
        sentence += f" ({interval['confidence']:.0%} interval over people: {bounds})"
    people = many(metrics["people"], "person", "people")
    sentence += f" on {people} of the validation split"
    if mean_pose is not None:
        sentence += (
            "; the mean pose of the training split, which does not depend on the image, "
            f"reaches {mean_pose:.1f}"
        )
    return f"{sentence}."


def _origin(run: RunDir, metrics: Mapping) -> str:
    """Return a sentence with the settings, the training time and the cost of a run."""
    experiment, provenance, time = run.experiment(), run.provenance(), training_time(run)
    cost = Cost(metrics["params"], metrics["multiply_adds"])
    height, width = experiment.image_size
    strategy = f"strategy {experiment.search.strategy}, " if experiment.model == "pose_nfs" else ""
    return (
        f"Data {experiment.data.name}, {height} x {width} px, {strategy}"
        f"{many(experiment.training.epochs, 'epoch')}, seed {experiment.training.seed}; "
        f"training steps took {_duration(time['hours'])} on {time['device']} with "
        f"{many(time['threads'], 'thread')}; the network has {cost} for one crop; "
        f"posenfs {provenance['versions']['posenfs']}, commit {provenance['commit']}."
    )


def _duration(hours: float | None) -> str:
    if hours is None:
        return "a time that was not measured"
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"
