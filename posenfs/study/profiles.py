"""Profiles: the data, size and schedule at which the rows of the tables are run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from posenfs.data import augment
from posenfs.data.datasets.catalogue import DataSpec
from posenfs.model.backbones import BACKBONES
from posenfs.model.space import PAPER, RELEASED, FabricSpec
from posenfs.search.build import MODELS
from posenfs.search.configuration import CheckpointConfig, RuntimeConfig, TrainingConfig
from posenfs.search.experiment import Experiment
from posenfs.study.table import Row

# Models that are initialised with the weights of their backbone.
_WITH_BACKBONE_WEIGHTS = ("pose_nfs", "branchnet_1", "branchnet_2")


@dataclass(frozen=True)
class Profile:
    """The size at which rows are run.

    Attributes:
        base: The experiment that rows change.
        weights: Initial weights by the name of the backbone or model; others are initialised at
            random.
        full: Whether rows use the paper's own data and image sizes.
    """

    base: Experiment
    weights: Mapping[str, str] = field(default_factory=dict)
    full: bool = False


_STUDY = Experiment(
    name="study",
    data=DataSpec("lsp"),
    image_size=(96, 96),
    training=TrainingConfig(epochs=3, batch_size=16, lr_drops=(0.67,)),
    runtime=RuntimeConfig(log_every=20),
    checkpoints=CheckpointConfig(keep=1),
)
_FULL = Experiment(
    name="paper", data=DataSpec("mpii"), rules=RELEASED, augmentation=augment.RELEASED
)
_IMAGENET = {
    name: "imagenet"
    for name in ("mobilenet_v2", "resnet50", "simple_baseline_50", "simple_baseline_152")
}
PROFILES: dict[str, Profile] = {
    # The paper's data, schedule and sizes: by the rules of the released code, which gave the
    # printed numbers, and by the rules of the text.
    "paper": Profile(_FULL, _IMAGENET, full=True),
    "paper_text": Profile(
        replace(_FULL, rules=PAPER, augmentation=augment.PAPER), _IMAGENET, full=True
    ),
    # LSP-extended at a small size for a CPU; a GPU allows larger images and more epochs.
    "study": Profile(_STUDY, {"mobilenet_v2": "imagenet"}),
    # A check of the whole procedure in seconds per run.
    "smoke": Profile(
        Experiment(
            name="smoke",
            data=DataSpec("synthetic", None, (24, 8), "plain"),
            image_size=(64, 64),
            fabric=FabricSpec(width=2),
            training=TrainingConfig(epochs=1, batch_size=12),
            runtime=RuntimeConfig(log_every=1),
            checkpoints=CheckpointConfig(keep=1),
        )
    ),
}


def choose_profile(
    name: str,
    image_size: int | tuple[int, int] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    dataset: str | None = None,
    root: str | None = None,
    images: tuple[int, int] | None = None,
    weights: Mapping[str, str] | None = None,
) -> Profile:
    """Return a profile, with changes if given.

    Args:
        name: Its name in PROFILES.
        image_size: Height and width of the crops, px; one number for squares.
        epochs: Epochs of training.
        batch_size: Images in a batch.
        dataset: Name of the data set.
        root: Folder of the data.
        images: Synthetic images for training and validation.
        weights: Initial weights by network, in addition to the profile's.

    Raises:
        ValueError: The profile is unknown, or has the paper's data and sizes, which cannot change.
    """
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}; known: {', '.join(PROFILES)}")
    profile = PROFILES[name]
    if profile.full and (image_size is not None or dataset is not None):
        raise ValueError(
            f"profile {name} has the paper's own data and image size; choose another profile to "
            "change them"
        )
    if profile.full and root is not None:
        raise ValueError(
            f"profile {name} reads MPII and COCO from data/mpii and data/coco; leave out --root"
        )
    base = profile.base
    if dataset is not None:
        data = DataSpec(dataset, root)
    else:
        data = replace(base.data, root=root or base.data.root)
    data = replace(data, images=images or base.data.images, difficulty=base.data.difficulty)
    size = base.image_size if image_size is None else image_size
    if isinstance(size, int):
        size = (size, size)
    training = replace(
        base.training,
        epochs=epochs or base.training.epochs,
        batch_size=batch_size or base.training.batch_size,
    )
    base = replace(base, data=data, image_size=tuple(size), training=training)
    return replace(profile, base=base, weights={**profile.weights, **(weights or {})})


def experiment_of(row: Row, profile: Profile, seed: int = 0) -> Experiment:
    """Return the experiment of a row in a profile.

    Args:
        row: The row.
        profile: The profile.
        seed: The seed of the run.

    Raises:
        ValueError: The row is quoted.
    """
    if row.quoted:
        raise ValueError(f"{row.label!r} is quoted from its publication: it is not run")
    full = row.full if profile.full else {}
    experiment = changed(profile.base, {**full, **row.changes, "training.seed": seed})
    from_backbone = experiment.model in _WITH_BACKBONE_WEIGHTS
    network = experiment.backbone if from_backbone else experiment.model
    return replace(experiment, backbone_weights=profile.weights.get(network))


def initialised_networks() -> list[str]:
    """Return the names that a profile's `weights` may have."""
    models = [name for name in MODELS if name not in _WITH_BACKBONE_WEIGHTS]
    return list(dict.fromkeys([*BACKBONES, *models]))


def parse_weights(assignments: Sequence[str]) -> dict[str, str]:
    """Parse ["mobilenet_v2=weights.pth", …] into files by network.

    Args:
        assignments: NETWORK=FILE or NETWORK=imagenet.

    Raises:
        ValueError: An assignment is malformed, or the network or the file does not exist.
    """
    weights = {}
    known = initialised_networks()
    for assignment in assignments:
        network, equals, file = assignment.partition("=")
        if not equals:
            raise ValueError(f"--weights {assignment}: write it as NETWORK=FILE")
        if network not in known:
            raise ValueError(
                f"--weights {network}={file}: unknown network {network!r}; "
                f"known: {', '.join(known)}"
            )
        if file != "imagenet" and not Path(file).is_file():
            raise ValueError(
                f"--weights {network}={file}: no weights at {file!r}; give a file, or imagenet"
            )
        weights[network] = file
    return weights


def changed(experiment: Experiment, changes: Mapping[str, Any]) -> Experiment:
    """Return an experiment with some fields changed.

    Args:
        experiment: The experiment.
        changes: Values by field; a dot names the field of a group (`training.seed`).

    Raises:
        TypeError: There is no such field.
    """
    for path, value in changes.items():
        name, _, subfield = path.partition(".")
        if subfield:
            value = replace(getattr(experiment, name), **{subfield: value})
        experiment = replace(experiment, **{name: value})
    return experiment
