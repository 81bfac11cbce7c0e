"""The rows of the paper's ablations.

A row is the experiment of a profile with some fields changed. Rows with equal experiments share
a run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posenfs.model.space import RELEASED


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        label: Its title in the table.
        changes: How its experiment differs from the profile's, by dotted field.
        full: Further changes for profiles at full size: the paper's own data and image size.
        printed: The paper's numbers by metric (pckh@0.11 is its column @0.1), unless `note` says
            otherwise.
        item: Its network in `cost_items.ITEMS`, for the cost columns; for a quoted row, the system
            in FRONTIER.
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
    """A table or figure of the paper, or an additional one.

    Attributes:
        title: Its title.
        question: The question that it answers.
        rows: Its rows by name.
        about: What its rows have in common and in what they differ, for its notebook.
    """

    title: str
    question: str
    rows: Mapping[str, Row]
    about: str = ""


_FIRST_ORDER = {"search.strategy": "first_order"}
_HRNET = {"backbone": "hrnet_w32"}
_COCO = {"data.name": "coco", "image_size": (384, 288)}
_SIMPLE, _HR = {"model": "simple_baseline_50"}, {"model": "hrnet_w32"}
_OURS_B = _HRNET | {"parts": 5, "fabric.width": 16}
_TEST_DEV = "the paper's number is of test-dev, on detected boxes"
_OWN = "the printed number is its authors'"
_SB_MPII, _HR_MPII = {"pckh@0.5": 88.5, "pckh@0.11": 34.0}, {"pckh@0.5": 90.3, "pckh@0.11": 37.7}

TABLES: dict[str, Table] = {
    "table_2": Table(
        "Table II: search strategies",
        "Does searching alpha and beta by gradient beat random ones, and does it need an "
        "architecture-validation split?",
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
        "In *random*, alpha and beta are drawn from N(0, 1) and stay fixed. In *synchronous* "
        "they follow the training loss together with the weights w. In *first order* (DARTS) "
        "they follow the loss of the half of the training images that w never sees. Each "
        "strategy trains w for the same number of epochs; in *first order* on half of the "
        "images. The fabrics of *random* have no meaningful mean: each seed draws its own.",
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
        "Table I groups the keypoints: P = 1 is one fabric for the whole body; P = 3, 5 and 8 "
        "are one fabric for each group. More parts also mean more parameters and "
        "multiply-adds, so read the scores together with the costs.",
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
        "The length of the d-dimensional vector in a pixel is its score (Eq. 4, 5); d = 1 is "
        "a plain score map without squash. SimpleBaseline and HRNet are not searched: their "
        "last layer gives K d maps instead of K.",
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
                {"image_size": (384, 384)},
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
        "The heads share one search space on different backbones: MobileNet-V2, ResNet-50, "
        "HRNet-W32, and fabrics that are searched themselves (Table VIII). ours-a and ours-b "
        "are rows of the paper; the others are its backbones with the heads of Table II.",
    ),
    "table_6": Table(
        "Table VI: searched fabrics and hand-designed branches",
        "Do searched heads beat hand-designed ones on the same backbone at less cost?",
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
        "ours-b and ours-c are compared with Branchnets, in which each part has a hand-designed "
        "branch of bottlenecks on the same backbone, and with networks that have a single head.",
    ),
    "table_7": Table(
        "Table VII: COCO",
        "How do searched networks compare with hand-designed ones?",
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
        "These are the paper's networks for COCO. The paper reports test-dev on detected "
        "boxes. A run here reports AP on the validation set if its data are COCO's, and the "
        "primary metric of its data otherwise.",
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
        "What is the effect of each difference?",
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
        "The paper and the released code differ in four switches inside the network, and the "
        "text is silent about a fifth. Each row changes one switch; the last row changes the "
        "code's four together.",
    ),
}  # fmt: skip
