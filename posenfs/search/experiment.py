"""An experiment: everything that rebuilds a search from its config.json."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from importlib.metadata import version
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from posenfs.data import augment
from posenfs.data.augment import Augmentation
from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.geometry import ImageSize
from posenfs.messages import unknown_entry
from posenfs.model.architecture import Genotype
from posenfs.model.backbones import BACKBONES, backbone_channels
from posenfs.model.network import check_image_size
from posenfs.model.space import PAPER, FabricSpec, Rules
from posenfs.search.configuration import (
    CheckpointConfig,
    RuntimeConfig,
    SearchConfig,
    TrainingConfig,
)
from posenfs.search.migration import migrate_config


@dataclass(frozen=True)
class Experiment:
    """One search: data, network, training and search.

    Raises:
        ValueError: A value is invalid, or two values exclude each other.
    """

    # Name of the run and of its folder in reports/runs.
    name: str = "search"
    # The data set to train and to validate on.
    data: DataSpec = field(default_factory=DataSpec)
    # Height and width of a crop, px.
    image_size: ImageSize = ImageSize(256, 256)
    # Random changes of the training crops.
    augmentation: Augmentation = augment.PAPER
    # Network: pose_nfs, or one that is not searched: simple_baseline_50, simple_baseline_101,
    # simple_baseline_152, hrnet_w32, hrnet_w48, branchnet_1 or branchnet_2.
    model: str = "pose_nfs"
    # Backbone: mobilenet_v2, resnet50, hrnet_w32, fabric_1, fabric_2 or fabric_3.
    backbone: str = "mobilenet_v2"
    # Search space of a fabric that replaces the backbone.
    backbone_fabric: FabricSpec | None = None
    # File of pretrained backbone weights, or "imagenet", which torchvision downloads.
    backbone_weights: str | None = None
    # P of Table I (1, 3, 5, 8), or custom parts: keypoints by part name.
    parts: int | dict[str, tuple[str, ...]] = 3
    # d, the number of components of the vector at each pixel; 1: a scalar score map.
    vector_dim: int = 8
    # Search space of the heads' fabrics (Theta).
    fabric: FabricSpec = field(default_factory=FabricSpec)
    # Details in which the paper's text and the released code differ. `always_entries` becomes False
    # where it changes nothing.
    rules: Rules = PAPER
    # Genotype of each fabric: the network is this derived (discrete) one, and nothing is searched.
    genotype: dict[str, Genotype] | None = None
    # Folder of a run or a saved model that the weights are initialised from.
    init_from: str | None = None
    # Optimisation of the weights.
    training: TrainingConfig = field(default_factory=TrainingConfig)
    # Search of alpha and beta.
    search: SearchConfig = field(default_factory=SearchConfig)
    # When checkpoints are written, and how many are kept.
    checkpoints: CheckpointConfig = field(default_factory=CheckpointConfig)
    # Logging and memory.
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    __pydantic_config__ = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    def __post_init__(self):
        object.__setattr__(self, "name", str(self.name))  # papermill makes a number of 2024
        object.__setattr__(self, "image_size", ImageSize(*self.image_size))
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            raise ValueError(
                f"an experiment's name is a folder's name, without slashes; got {self.name!r}"
            )
        if self.backbone not in BACKBONES:
            raise ValueError(unknown_entry("backbone", self.backbone, BACKBONES))
        check_image_size(*self.image_size, self.fabric.strides[-1])
        compile_mode, accumulate = self.training.compile, self.training.accumulate
        if self.runtime.recompute and compile_mode != "no":
            raise ValueError(
                "runtime.recompute does not work with training.compile; "
                f"got training.compile {compile_mode!r}"
            )
        # A CUDA graph overwrites the outputs and gradients of its last call.
        if compile_mode == "reduce-overhead" and (
            accumulate > 1 or self.search.strategy == "second_order"
        ):
            raise ValueError(
                "training.compile reduce-overhead allows one forward and backward pass per step: "
                "no training.accumulate above 1 and no search.strategy second_order; "
                f"got {accumulate} and {self.search.strategy}"
            )
        if self.rules.always_entries and not self.fits_backbone:
            object.__setattr__(self, "rules", replace(self.rules, always_entries=False))

    @property
    def fits_backbone(self) -> bool:
        """Whether the backbone's maps have the channels of the heads' fabrics.

        Then, and only then, `rules.always_entries` changes the network.
        """
        if self.model != "pose_nfs":
            return False
        fabric = self.backbone_fabric
        if fabric is None:
            return self.fabric.fits(backbone_channels(self.backbone))
        return self.fabric.fits([fabric.channels(row) for row in range(len(fabric.strides))])

    def to_json(self) -> str:
        """Return the content of config.json."""
        # Data whose keypoints posenfs knows have no such field, as in earlier versions.
        unset = {"data": {"definition"}} if self.data.definition is None else None
        return _ADAPTER.dump_json(self, indent=2, warnings=False, exclude=unset).decode()

    @staticmethod
    def from_json(text: str, source: str = "experiment") -> "Experiment":
        """Read the content of config.json; older formats are migrated.

        Args:
            text: The JSON text.
            source: The name of its origin in error messages.

        Raises:
            ValueError: A field is unknown or invalid. The message names the source, the field and
                its value.
        """
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{source}: JSON: {error} (got {text!r:.80})") from None
        try:
            return _ADAPTER.validate_python(migrate_config(content))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "JSON"
            message = f"{source}: {place}: {first['msg']} (got {first['input']!r:.80})"
            if first["type"] == "unexpected_keyword_argument":
                message += (
                    f"; posenfs {version('posenfs')} has no such field: a newer version may have "
                    "written it"
                )
            raise ValueError(message) from None


_ADAPTER = TypeAdapter(Experiment)


def differences(
    before: object, after: object, place: str = ""
) -> Iterator[tuple[str, object, object]]:
    """Compare two experiments field by field.

    Yields:
        An option of `posenfs search` whose value differs, its value before and its value after.
    """
    if is_dataclass(before) and type(before) is type(after):
        for each in fields(before):
            option = f"{place}{'.' if place else '--'}{each.name.replace('_', '-')}"
            yield from differences(getattr(before, each.name), getattr(after, each.name), option)
    elif repr(before) != repr(after):  # `==` ignores the order of custom parts
        yield place, before, after


def search_command(experiment: Experiment) -> str | None:
    """Return the command line that searches an experiment.

    Args:
        experiment: The experiment.

    Returns:
        `posenfs search` with each option that has not its default; None if a value cannot be
        written as an option, such as custom parts.
    """
    words = ["posenfs", "search"]
    for option, _, value in differences(Experiment(), experiment):
        if option == "--data.definition":  # read from the TOML file
            continue
        values = value if isinstance(value, tuple | list) else (value,)
        if not all(isinstance(single, str | int | float | None) for single in values):
            return None
        if isinstance(value, bool):
            group, _, name = option.rpartition(".")
            words.append(option if value else f"{group}.no-{name}")
        else:
            words += [option, *map(str, values)]
    return shlex.join(words)
