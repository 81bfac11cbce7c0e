"""The rows of the paper's ablations.

A row is the experiment of a profile with some fields changed. Rows with equal experiments share
a run.
"""

import re
from dataclasses import replace
from typing import Any

from posenfs.model.space import RELEASED
from posenfs.study.published import paper_row, paper_rows, printed_fabric, printed_on
from posenfs.study.table import Row, Table


def _quoted(table: str, *run: str) -> dict[str, Row]:
    """Return the rows of a table of the paper as quoted rows, without those that are run."""
    return {
        re.sub(r"\W+", "_", name.lower()).strip("_"): Row(
            name, quoted=True, **paper_row(table, name)
        )
        for name in paper_rows(table)
        if name not in run
    }


_FIRST_ORDER = {"search.strategy": "first_order"}
_HRNET = {"backbone": "hrnet_w32"}
_COCO = {"data.name": "coco", "image_size": (384, 288)}
_SIMPLE, _HR = {"model": "simple_baseline_50"}, {"model": "hrnet_w32"}
_WHOLE = {"vector_dim": 1, "parts": 1}
_OURS_B = _HRNET | {"parts": 5, "fabric.width": 16}
_OWN = "the printed number is its authors'"
_IN_TABLE_IV: dict[str, dict[str, Any]] = {
    name: paper_row("table_4", name) for name in paper_rows("table_4")
}

# The rows of several tables.
_P1 = Row("P = 1", {"parts": 1}, item="t3_p1", **paper_row("table_3", "P=1"))
_P3 = Row("P = 3", item="t2_p3", against="p1", **paper_row("table_3", "P=3"))
_P5 = Row("P = 5", {"parts": 5}, item="t3_p5", against="p1", **paper_row("table_3", "P=5"))
_P8 = Row("P = 8", {"parts": 8}, item="t3_p8", against="p1", **paper_row("table_3", "P=8"))
_SIMPLE_BASELINE = Row(
    "SimpleBaseline-50",
    _SIMPLE | _WHOLE,
    item="simple_baseline_50",
    note=_OWN,
    **_IN_TABLE_IV["SimpleBaseline"],
)
_HRNET_W32 = Row("HRNet-W32", _HR | _WHOLE, item="hrnet_w32", note=_OWN, **_IN_TABLE_IV["HRNet"])
_OURS_B_ROW = Row(
    "ours-b", _OURS_B, item="ours_b", against="branchnet_2", **paper_row("table_6", "ours-b")
)

TABLES: dict[str, Table] = {
    "table_2": Table(
        "Table II: search strategies",
        "Does searching alpha and beta by gradient beat random ones, and does it need an "
        "architecture-validation split?",
        {
            "random": Row(
                "random", {"search.strategy": "random"}, item="t2_p3",
                **paper_row("table_2", "random"),
            ),
            "synchronous": Row(
                "synchronous", item="t2_p3", against="random",
                **paper_row("table_2", "synchronous"),
            ),
            "first_order": Row(
                "first order", _FIRST_ORDER, item="t2_p3", against="synchronous",
                note="w learns from half of the images, in half of the steps",
                **paper_row("table_2", "first_order"),
            ),
        },
        "In *random*, alpha and beta are drawn from N(0, 1) and stay fixed. In *synchronous* "
        "they follow the training loss together with the weights w. In *first order* (DARTS) "
        "they follow the loss of the half of the training images that w never sees. Each "
        "strategy trains w for the same number of epochs; in *first order* on half of the "
        "images. The fabrics of *random* have no meaningful mean: each seed draws its own.",
        printed_on("table_2"),
    ),
    "table_3": Table(
        "Table III: parts",
        "Do fabrics for parts beat one fabric for the whole body?",
        {"p1": _P1, "p3": _P3, "p5": _P5, "p8": _P8},
        "Table I groups the keypoints: P = 1 is one fabric for the whole body; P = 3, 5 and 8 "
        "are one fabric for each group. More parts also mean more parameters and "
        "multiply-adds, so read the scores together with the costs. Table III prints no costs; "
        "those of P = 3 are Table II's.",
        printed_on("table_3"),
    ),
    "table_4": Table(
        "Table IV: vector in pixel",
        "Does a vector in each pixel beat a plain score, and for which networks?",
        {
            "d1": Row(
                "d = 1 (plain score map)", {"vector_dim": 1}, item="t4_d1",
                **_IN_TABLE_IV["d=1 (scalar)"],
            ),
            "d4": Row(
                "d = 4", {"vector_dim": 4}, item="t4_d4", against="d1", **_IN_TABLE_IV["d=4"]
            ),
            "d8": Row("d = 8", item="t2_p3", against="d1", **_IN_TABLE_IV["d=8"]),
            "d16": Row(
                "d = 16", {"vector_dim": 16}, item="t4_d16", against="d1", **_IN_TABLE_IV["d=16"]
            ),
            "simple_baseline": _SIMPLE_BASELINE,
            "simple_baseline_vector": Row(
                "SimpleBaseline-50 + vector 8", _SIMPLE | {"parts": 1},
                item="simple_baseline_50_vector8", against="simple_baseline",
                **_IN_TABLE_IV["SimpleBaseline + vector(8)"],
            ),
            "hrnet": _HRNET_W32,
            "hrnet_vector": Row(
                "HRNet-W32 + vector 8", _HR | {"parts": 1}, item="hrnet_w32_vector8",
                against="hrnet", **_IN_TABLE_IV["HRNet + vector(8)"],
            ),
        },
        "The length of the d-dimensional vector in a pixel is its score (Eq. 4, 5); d = 1 is "
        "a plain score map without squash. SimpleBaseline and HRNet are not searched: their "
        "last layer gives K d maps instead of K.",
        printed_on("table_4"),
    ),
    "table_5": Table(
        "Table V: MPII's test set, and backbones",
        "What does the shared backbone decide?",
        {
            **_quoted("table_5", "ours-a", "ours-b"),
            "ours_a": Row(
                "ours-a: MobileNet-V2, P = 3, H = 2", {"fabric.hidden_nodes": 2},
                {"image_size": (384, 384)},
                item="ours_a", against="mobilenet_v2", **paper_row("table_5", "ours-a"),
            ),
            "ours_b": Row(
                "ours-b: HRNet-W32, P = 5, C = 16", _OURS_B, item="ours_b",
                against="mobilenet_v2", **paper_row("table_5", "ours-b"),
            ),
            "mobilenet_v2": Row("MobileNet-V2, P = 3 (Table II's)", item="t2_p3"),
            **{
                f"fabric_{n}": Row(
                    f"Fabric-{n} (Table VIII), P = 3", {"backbone": f"fabric_{n}"},
                    against="mobilenet_v2", network=printed_fabric(f"Fabric-{n}"),
                )
                for n in (1, 2, 3)
            },
            "resnet50": Row("ResNet-50, P = 3", {"backbone": "resnet50"}, against="mobilenet_v2"),
        },
        "The paper's rows are of MPII's test set: the systems of others are quoted, ours-a and "
        "ours-b are run, and a run is scored on the validation set of its own data. Below them, "
        "the heads of Table II share one search space on the paper's backbones: MobileNet-V2, "
        "ResNet-50, and fabrics that are searched themselves (Table VIII).",
        printed_on("table_5"),
    ),
    "table_6": Table(
        "Table VI: searched fabrics and hand-designed branches",
        "Do searched heads beat hand-designed ones on the same backbone at less cost?",
        {
            "simple_baseline_152": Row(
                "SimpleBaseline-152", {"model": "simple_baseline_152"} | _WHOLE,
                item="simple_baseline_152", note=_OWN, **paper_row("table_6", "SimpleBaseline"),
            ),
            "hrnet": Row(
                "HRNet-W32", _HR | _WHOLE, item="hrnet_w32", note=_OWN,
                **paper_row("table_6", "HRNet-W32"),
            ),
            "stacked_pbns": Row(
                "Stacked PBNs", quoted=True,
                note="printed (†) is the mean over ten hard keypoints alone",
                **paper_row("table_6", "Stacked PBNs"),
            ),
            "branchnet_1": Row(
                "Baseline-1: Branchnet x 3", _HRNET | {"model": "branchnet_1", "vector_dim": 1},
                item="branchnet_1", **paper_row("table_6", "Baseline-1"),
            ),
            "branchnet_2": Row(
                "Baseline-2: Branchnet x 5",
                _HRNET | {"model": "branchnet_2", "vector_dim": 1, "parts": 5},
                item="branchnet_2", **paper_row("table_6", "Baseline-2"),
            ),
            "ours_c": Row(
                "ours-c: HRNet-W32, P = 3, H = 2, C = 12",
                _HRNET | {"fabric.hidden_nodes": 2, "fabric.width": 12}, item="ours_c",
                against="branchnet_1", **paper_row("table_6", "ours-c"),
            ),
            "ours_b": _OURS_B_ROW,
        },
        "ours-b and ours-c are compared with Branchnets, in which each part has a hand-designed "
        "branch of bottlenecks on the same backbone, and with networks that have a single head.",
        printed_on("table_6"),
    ),
    "table_7": Table(
        "Table VII: COCO",
        "How do searched networks compare with hand-designed ones?",
        {
            **_quoted(
                "table_7", "SimpleBaseline(ResNet-50)", "ours-1", "ours-2", "ours-3"
            ),
            "simple_baseline": Row(
                "SimpleBaseline-50", _SIMPLE | _WHOLE, _COCO, item="simple_baseline_50_coco",
                note=_OWN, **paper_row("table_7", "SimpleBaseline(ResNet-50)"),
            ),
            "ours_1": Row(
                "ours-1: MobileNet-V2, P = 3, C = 16", {"fabric.width": 16}, _COCO,
                item="ours_1", against="simple_baseline", **paper_row("table_7", "ours-1"),
            ),
            "ours_2": Row(
                "ours-2: ResNet-50, P = 3", {"backbone": "resnet50"}, _COCO,
                item="ours_2", against="simple_baseline", **paper_row("table_7", "ours-2"),
            ),
            "ours_3": Row(
                "ours-3: HRNet-W32, P = 5, C = 16", _OURS_B | {"search.lr_drops": False},
                _COCO, item="ours_3", against="simple_baseline",
                note="the paper's number is that after pruning",
                **paper_row("table_7", "ours-3"),
            ),
        },
        "The paper reports test-dev on detected boxes; the systems of others are quoted. A run "
        "here reports AP on the validation set if its data are COCO's, and the primary metric of "
        "its data otherwise.",
        printed_on("table_7"),
    ),
    "figure_6": Table(
        "Figure 6: loss with and without vectors",
        "Does a vector in each pixel make the loss fall faster?",
        {
            "d1": Row(
                "without (d = 1)", {"vector_dim": 1}, item="t4_d1",
                **_IN_TABLE_IV["d=1 (scalar)"],
            ),
            "d8": Row("with (d = 8)", item="t2_p3", against="d1", **_IN_TABLE_IV["d=8"]),
        },
        printed_on=printed_on("table_4"),
    ),
    "figure_7": Table(
        "Figure 7: accuracy against cost",
        "What does a point of accuracy cost?",
        {
            "p1": _P1,
            "p3": replace(_P3, against=None),
            "p5": replace(_P5, against=None),
            "p8": replace(_P8, against=None),
            "ours_b": replace(_OURS_B_ROW, against=None),
            "simple_baseline": _SIMPLE_BASELINE,
            "hrnet": _HRNET_W32,
        },
        "Panels (a) and (b) show the paper's systems and others over the multiply-adds of each "
        "source; sources count differently, and the tables below name them. Costs that are "
        "published for another input size are scaled by the pixels. Table III prints no costs: "
        "those of P = 1, 5 and 8 are recomputed by the paper's rule. Stacked PBNs (Table VI), "
        "with another metric and no multiply-adds, are left out. On COCO most of the others are "
        "scored on the validation set, the paper's systems on test-dev.",
        printed_on("table_3"),
        ("mpii", "coco"),
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
