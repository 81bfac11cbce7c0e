"""The rows of the paper's ablations and the profiles that set their size.

A row is the experiment of a profile with some fields changed. Rows with equal experiments share
a run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from posenfs.data import augment
from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.geometry import ImageSize
from posenfs.model.backbones import BACKBONES
from posenfs.model.space import PAPER, RELEASED, FabricSpec
from posenfs.search.build import MODELS
from posenfs.search.configuration import CheckpointConfig, RuntimeConfig, TrainingConfig
from posenfs.search.experiment import Experiment


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        label: Its title in the table.
        changes: How its experiment differs from the profile's, by dotted field.
        full: Further changes for profiles at full size: the paper's own data and image size.
        printed: The paper's numbers by metric (pckh@0.11 is its column @0.1), unless `note` says
            otherwise.
        item: Its network among the cost columns (`costs.ITEMS`); of a quoted row the system in
            FRONTIER.
        against: The row that it is compared with.
        quoted: Whether it holds another system's published numbers and is not run.
        note: A remark for the table.
    """

    label: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    full: Mapping[str, Any] = field(default_factory=dict)
    printed: Mapping[str, float] = field(default_factory=dict)
    item: str | None = None
    against: str | None = None
    quoted: bool = False
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table or figure of the paper, or an additional one: its rows by name."""

    title: str
    question: str
    rows: Mapping[str, Row]


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


_FIRST_ORDER = {"search.strategy": "first_order"}
_HRNET = {"backbone": "hrnet_w32"}
_COCO = {"data.name": "coco", "image_size": ImageSize(384, 288)}
_SIMPLE, _HR = {"model": "simple_baseline_50"}, {"model": "hrnet_w32"}
_OURS_B = _HRNET | {"parts": 5, "fabric.width": 16}
_TEST_DEV = "the paper's number is of test-dev, on detected boxes"
_OWN = "the printed number is its authors'"
_SB_MPII, _HR_MPII = {"pckh@0.5": 88.5, "pckh@0.11": 34.0}, {"pckh@0.5": 90.3, "pckh@0.11": 37.7}

TABLES: dict[str, Table] = {
    "table_2": Table(
        "Table II: search strategies",
        "Does searching alpha and beta by gradient beat random ones, and does it need people held "
        "out?",
        {
            "random": Row("random", {"search.strategy": "random"}, item="t2_p3"),
            "synchronous": Row(
                "synchronous", printed={"pckh@0.5": 87.0}, item="t2_p3", against="random",
            ),
            "first_order": Row(
                "first order", _FIRST_ORDER, item="t2_p3", against="synchronous",
                note="w learns from half of the images, in half of the steps",
            ),
        },
    ),
    "table_3": Table(
        "Table III: parts",
        "Do fabrics for parts beat one fabric for the whole body?",
        {
            "p1": Row("P = 1", {"parts": 1}, item="t3_p1"),
            "p3": Row("P = 3", printed={"pckh@0.5": 87.0}, item="t2_p3", against="p1"),
            "p5": Row("P = 5", {"parts": 5}, item="t3_p5", against="p1"),
            "p8": Row("P = 8", {"parts": 8}, item="t3_p8", against="p1"),
        },
    ),
    "table_4": Table(
        "Table IV: vector in pixel",
        "Does a vector in each pixel beat a plain score, and for which networks?",
        {
            "d1": Row("d = 1 (plain score map)", {"vector_dim": 1}, item="t4_d1"),
            "d4": Row("d = 4", {"vector_dim": 4}, item="t4_d4", against="d1"),
            "d8": Row("d = 8", printed={"pckh@0.5": 87.0}, item="t2_p3", against="d1"),
            "d16": Row("d = 16", {"vector_dim": 16}, item="t4_d16", against="d1"),
            "simple_baseline": Row(
                "SimpleBaseline-50", _SIMPLE | {"vector_dim": 1, "parts": 1}, printed=_SB_MPII,
                item="simple_baseline_50", note=_OWN,
            ),
            "simple_baseline_vector": Row(
                "SimpleBaseline-50 + vector 8", _SIMPLE | {"parts": 1},
                item="simple_baseline_50_vector8",
                against="simple_baseline",
            ),
            "hrnet": Row(
                "HRNet-W32", _HR | {"vector_dim": 1, "parts": 1}, printed=_HR_MPII,
                item="hrnet_w32", note=_OWN
            ),
            "hrnet_vector": Row(
                "HRNet-W32 + vector 8", _HR | {"parts": 1}, item="hrnet_w32_vector8",
                against="hrnet"
            ),
        },
    ),
    "table_5": Table(
        "Table V: backbones",
        "What does the shared backbone decide?",
        {
            "mobilenet_v2": Row(
                "MobileNet-V2, P = 3 (Table II's)", printed={"pckh@0.5": 87.0}, item="t2_p3",
            ),
            "ours_a": Row(
                "ours-a: MobileNet-V2, P = 3, H = 2", {"fabric.hidden_nodes": 2},
                {"image_size": ImageSize(384, 384)},
                item="ours_a", against="mobilenet_v2",
            ),
            "fabric_1": Row(
                "Fabric-1 (Table VIII), P = 3", {"backbone": "fabric_1"}, against="mobilenet_v2",
            ),
            "fabric_2": Row(
                "Fabric-2 (Table VIII), P = 3", {"backbone": "fabric_2"}, against="mobilenet_v2",
            ),
            "fabric_3": Row(
                "Fabric-3 (Table VIII), P = 3", {"backbone": "fabric_3"}, against="mobilenet_v2",
            ),
            "resnet50": Row("ResNet-50, P = 3", {"backbone": "resnet50"}, against="mobilenet_v2"),
            "ours_b": Row(
                "ours-b: HRNet-W32, P = 5, C = 16", _OURS_B, printed={"pckh@0.5": 90.1},
                item="ours_b",
                against="mobilenet_v2",
            ),
        },
    ),
    "table_6": Table(
        "Table VI: searched fabrics beside branches built by hand",
        "Do searched heads beat hand-made ones of the same backbone at less cost?",
        {
            "ours_b": Row(
                "ours-b", _OURS_B, printed={"pckh@0.5": 90.1}, item="ours_b", against="branchnet_2",
            ),
            "ours_c": Row(
                "ours-c: HRNet-W32, P = 3, H = 2, C = 12",
                _HRNET | {"fabric.hidden_nodes": 2, "fabric.width": 12}, item="ours_c",
                against="branchnet_1",
            ),
            "branchnet_1": Row(
                "Baseline-1: Branchnet x 3", _HRNET | {"model": "branchnet_1", "vector_dim": 1},
                item="branchnet_1"
            ),
            "branchnet_2": Row(
                "Baseline-2: Branchnet x 5",
                _HRNET | {"model": "branchnet_2", "vector_dim": 1, "parts": 5},
                item="branchnet_2",
            ),
            "hrnet": Row(
                "HRNet-W32", _HR | {"vector_dim": 1, "parts": 1}, printed=_HR_MPII,
                item="hrnet_w32", note=_OWN
            ),
            "simple_baseline_152": Row(
                "SimpleBaseline-152", {"model": "simple_baseline_152", "vector_dim": 1, "parts": 1},
                printed={"pckh@0.5": 89.6, "pckh@0.11": 35.0}, item="simple_baseline_152",
                note=_OWN,
            ),
        },
    ),
    "table_7": Table(
        "Table VII: COCO",
        "Where does the search stand among networks made by hand?",
        {
            "ours_1": Row(
                "ours-1: MobileNet-V2, P = 3, C = 16", {"fabric.width": 16}, _COCO, {"ap": 67.4},
                "ours_1",
                "simple_baseline", note=_TEST_DEV,
            ),
            "ours_2": Row(
                "ours-2: ResNet-50, P = 3", {"backbone": "resnet50"}, _COCO, {"ap": 70.9}, "ours_2",
                "simple_baseline", note=_TEST_DEV,
            ),
            "ours_3": Row(
                "ours-3: HRNet-W32, P = 5, C = 16", _OURS_B | {"search.lr_drops": False},
                _COCO, {"ap": 72.3},
                "ours_3", "simple_baseline", note=f"{_TEST_DEV}, after pruning",
            ),
            "simple_baseline": Row(
                "SimpleBaseline-50", _SIMPLE | {"vector_dim": 1, "parts": 1}, _COCO,
                item="simple_baseline_50_coco"
            ),
            "simple_baseline_quoted": Row(
                "SimpleBaseline-50, 256 x 192", printed={"ap": 70.4}, item="SimpleBaseline-50",
                quoted=True,
                note="COCO val, its authors' number",
            ),
            "hrnet_quoted": Row(
                "HRNet-W32, 256 x 192", printed={"ap": 74.4}, item="HRNet-W32", quoted=True,
                note="COCO val, its authors' number",
            ),
        },
    ),
    "figure_6": Table(
        "Figure 6: loss with and without vectors",
        "Does a vector in each pixel make the loss fall faster?",
        {
            "d1": Row("without (d = 1)", {"vector_dim": 1}, item="t4_d1"),
            "d8": Row("with (d = 8)", item="t2_p3", against="d1"),
        },
    ),
    "figure_7": Table(
        "Figure 7: accuracy against cost",
        "What does a point of accuracy cost?",
        {
            "p1": Row("P = 1", {"parts": 1}, item="t3_p1"),
            "p3": Row("P = 3", printed={"pckh@0.5": 87.0}, item="t2_p3"),
            "p5": Row("P = 5", {"parts": 5}, item="t3_p5"),
            "p8": Row("P = 8", {"parts": 8}, item="t3_p8"),
            "ours_b": Row("ours-b", _OURS_B, printed={"pckh@0.5": 90.1}, item="ours_b"),
            "simple_baseline": Row(
                "SimpleBaseline-50", _SIMPLE | {"vector_dim": 1, "parts": 1}, printed=_SB_MPII,
                item="simple_baseline_50", note=_OWN,
            ),
            "hrnet": Row(
                "HRNet-W32", _HR | {"vector_dim": 1, "parts": 1}, printed=_HR_MPII,
                item="hrnet_w32", note=_OWN
            ),
        },
    ),
    "rules": Table(
        "The switches between the paper's text and the released code",
        "What does each place where they differ do?",
        {
            "paper": Row("paper's text"),
            "edge_factor": Row(
                "Eq. 1 times the number of operations", {"rules.edge_factor": True},
                against="paper",
            ),
            "source_factor": Row("Eq. 2 times 3", {"rules.source_factor": True}, against="paper"),
            "relu_after_fusion": Row(
                "ReLU after Eq. 2", {"rules.relu_after_fusion": True}, against="paper",
            ),
            "relu_after_down": Row(
                "no ReLU in the down transfer", {"rules.relu_after_down": False}, against="paper",
            ),
            "align_corners": Row(
                "up transfer, corners not aligned", {"rules.align_corners": False}, against="paper",
            ),
            "released": Row(
                "the first four: the released code", {"rules": RELEASED}, against="paper",
            ),
        },
    ),
}  # fmt: skip

_STUDY = Experiment(
    name="study",
    data=DataSpec("lsp"),
    image_size=ImageSize(96, 96),
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
    # A check of the whole procedure, seconds a run.
    "smoke": Profile(
        Experiment(
            name="smoke",
            data=DataSpec("synthetic", None, (24, 8), "plain"),
            image_size=ImageSize(64, 64),
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
            f"profile {name} has the paper's own data and pixels; choose another profile to change "
            "them"
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
        size = ImageSize(size, size)
    training = replace(
        base.training,
        epochs=epochs or base.training.epochs,
        batch_size=batch_size or base.training.batch_size,
    )
    base = replace(base, data=data, image_size=ImageSize(*size), training=training)
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
    starts_with_backbone = experiment.model in _WITH_BACKBONE_WEIGHTS
    network = experiment.backbone if starts_with_backbone else experiment.model
    return replace(experiment, backbone_weights=profile.weights.get(network))


# Models that are initialised with the weights of their backbone.
_WITH_BACKBONE_WEIGHTS = ("pose_nfs", "branchnet_1", "branchnet_2")


def beginning_networks() -> list[str]:
    """Return the names that a profile's `weights` may have."""
    models = [name for name in MODELS if name not in _WITH_BACKBONE_WEIGHTS]
    return list(dict.fromkeys([*BACKBONES, *models]))


def changed(experiment: Experiment, changes: Mapping[str, Any]) -> Experiment:
    """Return an experiment with some fields changed.

    Args:
        experiment: The experiment.
        changes: Values by field; a dot leads to the field of a part (`training.seed`).

    Raises:
        TypeError: There is no such field.
    """
    for path, value in changes.items():
        name, _, subfield = path.partition(".")
        if subfield:
            value = replace(getattr(experiment, name), **{subfield: value})
        experiment = replace(experiment, **{name: value})
    return experiment


@dataclass(frozen=True)
class Published:
    """A system as its authors publish it.

    Attributes:
        name: Its name.
        size: Input size, px.
        params_m: Parameters in millions.
        gmac: Multiply-adds at that input in billions (1e9).
        ap: COCO val AP.
        pckh: MPII val PCKh@0.5, on 256 x 256 px.
        note: A remark.
    """

    name: str
    size: str
    params_m: float
    gmac: float
    ap: float | None = None
    pckh: float | None = None
    note: str = ""

    @property
    def square_gmac(self) -> float:
        """Multiply-adds at MPII's 256 x 256 px.

        They scale with the pixels for convolutions; ViTPose's attention costs a little more.
        """
        return self.gmac * 256 / 192


# Recent systems for comparison; all numbers are quoted.
FRONTIER: tuple[Published, ...] = (
    Published("SimpleBaseline-50", "256 x 192", 34.0, 5.43, 70.4, 88.5),
    Published("HRNet-W32", "256 x 192", 28.5, 7.65, 74.4, 90.3),
    Published("Lite-HRNet-18", "256 x 192", 1.1, 0.20, 64.2, 85.9),
    Published("Lite-HRNet-30", "256 x 192", 1.8, 0.31, 67.6, 86.9),
    Published("RTMPose-t", "256 x 192", 3.3, 0.36, 68.5, note="more data"),
    Published("RTMPose-s", "256 x 192", 5.5, 0.68, 72.2, note="more data"),
    Published("RTMPose-m", "256 x 192", 13.6, 1.93, 75.8, note="more data"),
    Published("RTMPose-l", "256 x 192", 27.7, 4.16, 76.5, note="more data"),
    Published("ViTPose-S", "256 x 192", 24.0, 5.6, 73.8),
    Published("ViTPose-B", "256 x 192", 90.0, 18.5, 75.8, 93.3, "MPII: more data"),
    Published("ViTPose-L", "256 x 192", 309.0, 61.6, 78.3),
    Published("ViTPose-H", "256 x 192", 637.0, 126.0, 79.1),
)
