"""The paper's printed numbers: typed by hand here, and compared with the paper's own tables where these are at hand."""

import json
import os
import re
from pathlib import Path

import pytest

from posenfs.study.cost_items import ITEMS
from posenfs.study.published import OTHERS, PUBLISHED, paper_row, paper_rows
from posenfs.study.rows import TABLES
from posenfs.study.systems import systems_of, systems_table

PAPER = PUBLISHED["paper"]
DATA = Path(os.environ.get("POSENFS_DATA", Path(__file__).parents[3] / "shared" / "data"))
SOURCE = DATA.parent / "paper" / "tables.json"


def cells(table, name):
    """A row of the file, without what the paper does not print."""
    content = PAPER["tables"][table]
    row = dict(zip(content["columns"], content["rows"][name], strict=True))
    return {column: value for column, value in row.items() if value is not None}


# -- the paper's own tables, cell by cell ---------------------------------------------------------


def _as_numbers(table, column, text):
    """A cell of tables.json in the columns of published.json."""
    names = {"params": "params_m", "flops": "gflops", "madds": "gflops"}
    if table == "table_6":
        names["head"] = "network_head"  # in Table V head is a keypoint
    column = names.get(column, column)
    if not isinstance(text, str) or column in ("backbone", "network_head"):
        return {column: text}
    if match := re.fullmatch(r"([\d.]+) \+- ([\d.]+) \((\d+) seeds\)", text):
        value, spread, seeds = match.groups()
        return {column: float(value), f"{column}_spread": float(spread), "seeds": int(seeds)}
    if match := re.fullmatch(r"([\d.]+)\*", text):
        return {f"{column}_hard": float(match[1])}
    number, unit = re.fullmatch(r"([\d.]+)([MG])", text).groups()
    assert unit == {"params_m": "M", "gflops": "G"}[column]
    return {column: float(number)}


@pytest.mark.parametrize("table", [f"table_{number}" for number in range(2, 9)])
def test_every_cell_of_the_paper(table):
    if not SOURCE.is_file():
        pytest.skip(f"no {SOURCE}; set POSENFS_DATA to a folder beside the folder `paper`")
    source = json.loads(SOURCE.read_text())[table]
    assert list(PAPER["tables"][table]["rows"]) == [name for name, *_ in source["rows"]]
    for name, *values in source["rows"]:
        expected = {}
        for column, value in zip(source["columns"][1:], values, strict=True):
            if value is not None:
                expected |= _as_numbers(table, column, value)
        if table == "table_2":  # its title has them
            assert "3.3M parameters, 1.2 G" in source["title"]
            expected |= {"params_m": 3.3, "gflops": 1.2}
        assert cells(table, name) == expected


# -- numbers typed by hand ------------------------------------------------------------------------

ROWS = {
    "table_2": 3, "table_3": 4, "table_4": 8, "table_5": 11, "table_6": 7, "table_7": 16,
    "table_8": 3,
}  # fmt: skip
COLUMNS = {
    "table_2": "gpu_days pckh_0.5 pckh_0.5_spread pckh_0.1 pckh_0.1_spread seeds params_m gflops",
    "table_3": "pckh_0.5 pckh_0.1",
    "table_4": "pckh_0.5 pckh_0.1 params_m gflops",
    "table_5": "head shoulder elbow wrist hip knee ankle total params_m gflops",
    "table_6": "backbone network_head nas part_specific pckh_0.5 pckh_0.5_hard pckh_0.1 params_m gflops",
    "table_7": "AP AP50 AP75 AP_M AP_L AR AR50 AR75 AR_M AR_L params_m gflops",
    "table_8": "L C H layers_reserved cells",
}


@pytest.mark.parametrize("table", ROWS)
def test_shapes(table):
    content = PAPER["tables"][table]
    assert " ".join(content["columns"]) == COLUMNS[table]
    assert len(content["rows"]) == ROWS[table]
    assert {len(row) for row in content["rows"].values()} == {len(content["columns"])}


ACCURACIES = {  # PCKh@0.5 and @0.1 (at 0.11) of Tables II to VI, by table and row of `TABLES`
    "table_2": {"random": (87.1, 35.2), "first_order": (87.1, 34.7), "synchronous": (87.0, 34.6)},
    "table_3": {"p1": (86.4, 33.4), "p3": (87.0, 34.6), "p5": (87.1, 35.1), "p8": (87.3, 35.6)},
    "table_4": {
        "d1": (86.8, 33.5), "d4": (86.9, 34.9), "d8": (87.0, 34.6), "d16": (86.8, 34.9),
        "simple_baseline": (88.5, 33.9), "simple_baseline_vector": (88.7, 34.2),
        "hrnet": (90.3, 37.7), "hrnet_vector": (90.2, 38.1),
    },
    "table_6": {
        "simple_baseline_152": (89.6, 35.0), "hrnet": (90.3, 37.7), "branchnet_1": (89.0, 38.2),
        "branchnet_2": (89.3, 38.7), "ours_c": (89.9, 39.5), "ours_b": (90.1, 39.4),
    },
}  # fmt: skip


@pytest.mark.parametrize("table", ACCURACIES)
def test_accuracies_on_the_validation_set(table):
    rows = TABLES[table].rows
    printed = {
        name: (row.printed.get("pckh@0.5"), row.printed.get("pckh@0.11"))
        for name, row in rows.items()
        if name != "stacked_pbns"
    }
    assert printed == ACCURACIES[table]


def test_strategies():
    assert paper_row("table_2", "random") == {
        "printed": {"pckh@0.5": 87.1, "pckh@0.11": 35.2},
        "spreads": {"pckh@0.5": 0.2, "pckh@0.11": 0.4},
        "printed_seeds": 5,
        "costs": {"params_m": 3.3, "gflops": 1.2, "gpu_days": 0.8},
        "network": "",
    }
    assert TABLES["table_2"].rows["first_order"].costs["gpu_days"] == 0.9
    assert TABLES["table_2"].rows["synchronous"].costs["gpu_days"] == 0.8


def test_the_dagger_is_another_metric():
    row = TABLES["table_6"].rows["stacked_pbns"]
    assert (
        row.quoted and row.printed == {"pckh@0.5/hard": 88.14} and row.costs == {"params_m": 26.7}
    )


TEST_SET = {  # Table V: head, shoulder, elbow, wrist, hip, knee, ankle, total
    "tompson_et_al": (95.8, 90.3, 80.5, 74.3, 77.6, 69.7, 62.8, 79.6),
    "belagiannis_zisserman": (97.7, 95.0, 88.2, 83.0, 87.9, 82.6, 78.4, 88.1),
    "wei_et_al": (97.8, 95.0, 88.7, 84.0, 88.4, 82.8, 79.4, 88.5),
    "insafutdinov_et_al": (96.8, 95.2, 89.3, 84.4, 88.4, 83.4, 78.0, 88.5),
    "bulat_tzimiropoulos": (97.9, 95.1, 89.9, 85.3, 89.4, 85.7, 81.7, 89.7),
    "newell_et_al": (98.2, 96.3, 91.2, 87.1, 90.1, 87.4, 83.6, 90.9),
    "xiao_et_al": (98.5, 96.6, 91.9, 87.6, 91.1, 88.1, 84.1, 91.5),
    "tang_et_al": (98.4, 96.9, 92.6, 88.7, 91.8, 89.4, 86.2, 92.3),
    "fpd": (98.3, 96.4, 91.5, 87.4, 90.9, 87.1, 83.7, 91.1),
    "ours_a": (97.9, 95.6, 90.7, 86.5, 89.8, 86.0, 81.5, 90.2),
    "ours_b": (98.2, 95.9, 91.5, 87.6, 90.1, 87.3, 83.2, 91.0),
}
TEST_SET_COSTS = {
    "insafutdinov_et_al": (42.6, 41.2), "newell_et_al": (25.1, 19.1), "xiao_et_al": (68.6, 20.9),
    "tang_et_al": (15.5, 33.6), "fpd": (3, 9), "ours_a": (5.2, 4.6), "ours_b": (16.4, 9.4),
}  # fmt: skip


def test_mpii_test_set():
    names = ["head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
    metrics = [*(f"pckh@0.5/{name}" for name in names), "pckh@0.5"]
    rows = {name: row for name, row in TABLES["table_5"].rows.items() if row.printed}
    assert {name: tuple(map(row.printed.get, metrics)) for name, row in rows.items()} == TEST_SET
    costs = {
        name: (row.costs["params_m"], row.costs["gflops"])
        for name, row in rows.items()
        if row.costs
    }
    assert costs == TEST_SET_COSTS
    assert [name for name, row in rows.items() if not row.quoted] == ["ours_a", "ours_b"]
    assert TABLES["table_5"].printed_on == "MPII test set"


COCO = {  # Table VII: AP, AP50, AP75, AP_M, AP_L, AR, AR50, AR75, AR_M, AR_L in percent
    "cmu_pose": (61.8, 84.9, 67.5, 57.1, 68.2),
    "associative_embedding": (65.5, 86.8, 72.3, 60.6, 72.6, 70.2, 89.5, 76.0, 64.6, 78.0),
    "cpn": (72.1, 91.4, 80.0, 68.7, 77.2, 78.5, 95.1, 85.3, 74.2, 84.3),
    "simple_baseline": (70.2, 90.9, 78.3, 67.1, 75.9, 75.8),
    "simplebaseline_resnet_152": (73.7, 91.9, 81.1, 70.3, 80.0, 79.0),
    "hrnet_w32": (74.9, 92.5, 82.8, 71.3, 80.9, 80.1),
    "hrnet_w48": (75.5, 92.5, 83.3, 71.9, 81.5, 80.5),
    "ours_1": (67.4, 89.0, 73.7, 63.3, 74.3, 73.1, 92.8, 79.1, 68.1, 80.0),
    "ours_2": (70.9, 90.4, 77.7, 66.7, 78.2, 76.6, 94.1, 82.9, 71.5, 83.6),
    "ours_3": (72.3, 90.9, 79.5, 68.4, 79.2, 77.9, 94.5, 84.4, 73.1, 84.5),
}


def test_coco_test_dev():
    rows = TABLES["table_7"].rows
    names = ["AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L"]
    metrics = ["ap", *(f"ap/{name}" for name in names)]
    for name, scores in COCO.items():
        assert rows[name].printed == dict(zip(metrics, scores, strict=False)), name
    assert rows["ours_3"].costs == {"params_m": 15.8, "gflops": 14.8}
    assert rows["g_rmi"].costs == {"params_m": 42.6, "gflops": 57.0}
    assert sum(row.quoted for row in rows.values()) == 12 and len(rows) == 16


def test_fabrics_of_table_8():
    rows = PAPER["tables"]["table_8"]["rows"]
    assert rows == {
        "Fabric-1": [7, 10, 2, 3, 9], "Fabric-2": [8, 10, 1, 5, 17], "Fabric-3": [8, 12, 1, 5, 17]
    }  # fmt: skip
    assert TABLES["table_5"].rows["fabric_3"].network == (
        "Fabric-3 (10.5M): L = 8, C = 12, H = 1, the first 5 layers, 17 cells"
    )


def test_every_row_of_the_paper_is_in_a_table():
    """By its printed numbers, which no two rows of a table share."""
    for table in ("table_2", "table_3", "table_4", "table_5", "table_6", "table_7"):
        shown = [row.printed for row in TABLES[table].rows.values() if row.printed]
        expected = [paper_row(table, name)["printed"] for name in paper_rows(table)]
        assert len(shown) == len(expected) == ROWS[table]
        assert all(printed in shown for printed in expected)


# -- what the paper says of its own numbers -------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "base", "row", "column", "claimed", "digits"),
    [
        ("table_4", "SimpleBaseline", "SimpleBaseline + vector(8)", "pckh_0.5", 0.23, 2),
        ("table_4", "SimpleBaseline", "SimpleBaseline + vector(8)", "pckh_0.1", 0.88, 2),
        ("table_4", "HRNet", "HRNet + vector(8)", "pckh_0.1", 1.06, 2),
        ("table_3", "P=1", "P=8", "pckh_0.5", 1, 0),
    ],
)
def test_claimed_gains_are_relative(table, base, row, column, claimed, digits):
    """100 (88.7 - 88.5) / 88.5 = 0.226, (34.2 - 33.9) / 33.9 = 0.885, (38.1 - 37.7) / 37.7 = 1.061."""
    before, after = cells(table, base)[column], cells(table, row)[column]
    assert round(100 * (after - before) / before, digits) == claimed
    assert {
        "table": table,
        "over": base,
        "row": row,
        "column": column,
        "percent": claimed,
    }.items() <= next(claim for claim in PAPER["claims"] if claim["percent"] == claimed).items()


def test_hrnet_loses_at_half_a_head():
    """The text claims no gain in PCKh@0.5 over HRNet: its column has a loss of 0.1."""
    assert cells("table_4", "HRNet + vector(8)")["pckh_0.5"] - 90.3 == pytest.approx(-0.1)


def test_cost_items_print_the_same_numbers():
    """The costs of `posenfs cost` are those of the table that each item names."""
    where = {
        "t2_p3": ("table_2", "synchronous"), "t4_d1": ("table_4", "d=1 (scalar)"),
        "t4_d4": ("table_4", "d=4"), "t4_d16": ("table_4", "d=16"),
        "simple_baseline_50": ("table_4", "SimpleBaseline"),
        "simple_baseline_50_vector8": ("table_4", "SimpleBaseline + vector(8)"),
        "hrnet_w32": ("table_4", "HRNet"), "hrnet_w32_vector8": ("table_4", "HRNet + vector(8)"),
        "ours_a": ("table_5", "ours-a"), "ours_b": ("table_6", "ours-b"),
        "ours_c": ("table_6", "ours-c"), "branchnet_1": ("table_6", "Baseline-1"),
        "branchnet_2": ("table_6", "Baseline-2"), "simple_baseline_152": ("table_6", "SimpleBaseline"),
        "ours_1": ("table_7", "ours-1"), "ours_2": ("table_7", "ours-2"),
        "ours_3": ("table_7", "ours-3"),
        "simple_baseline_50_coco": ("table_7", "SimpleBaseline(ResNet-50)"),
    }  # fmt: skip
    for item, (table, name) in where.items():
        costs = paper_row(table, name)["costs"]
        assert (ITEMS[item].params_m, ITEMS[item].gflops) == (costs["params_m"], costs["gflops"]), (
            item
        )
    backbones = {
        "mobilenet_v2": "MobileNet-V2", "resnet50": "ResNet-50", "fabric_1": "Fabric-1",
        "fabric_2": "Fabric-2", "fabric_3": "Fabric-3", "hrnet_w32_stage3": "HRNet-W32-Stem-Stage3",
    }  # fmt: skip
    assert {ITEMS[item].params_m for item in backbones} == {5.8, 6.8, 10.5, 1.3, 23.5, 8.1}
    for item, name in backbones.items():
        assert ITEMS[item].params_m == PAPER["backbone_params_m"][name]
    unnamed = {name for name, item in ITEMS.items() if item.params_m is not None}
    assert unnamed == where.keys() | backbones.keys()


# -- systems of others ----------------------------------------------------------------------------

MPII = {  # score, score at 0.11, multiply-adds in G as published
    "SimpleBaseline-50": (88.532, 33.911, 12.0),
    "SimpleBaseline-101": (89.131, 34.020, 12.4),
    "SimpleBaseline-152": (89.620, 35.025, 20.9),
    "SimpleBaseline-50, 384 px": (89.066, 38.046, 12.0),
    "SimpleBaseline-101, 384 px": (90.003, 38.860, 12.4),
    "SimpleBaseline-152, 384 px": (90.200, 39.433, 20.9),
    "HRNet-W32": (90.3, 37.7, 9.5),
    "Hourglass, 8 stacks": (90.520, 38.275, 19.1),
    "Hourglass, 4 stacks": (87.934, 34.634, 9),
    "Hourglass, 4 stacks, FPD": (89.040, 36.144, 9),
    "EfficientPose RT": (82.9, None, 0.87),
    "EfficientPose I": (85.2, None, 1.67),
    "EfficientPose II": (88.2, None, 7.70),
    "EfficientPose III": (89.5, None, 23.35),
    "EfficientPose IV": (89.8, None, 72.89),
    "Lite-HRNet-18": (85.9, None, 0.20),
    "Lite-HRNet-30": (86.9, None, 0.31),
    "ViTPose-B": (93.3, None, 18.5),
}
COCO_VALIDATION = {
    "EvoPose2D-XS": (68.0, 0.47), "EvoPose2D-S": (70.2, 1.07), "EvoPose2D-M": (75.1, 5.59),
    "EvoPose2D-L": (76.6, 17.7), "SimpleBaseline-50": (70.4, 8.9), "HRNet-W32": (74.4, 7.1),
    "Lite-HRNet-18": (64.2, 0.20), "Lite-HRNet-30": (67.6, 0.31), "RTMPose-t": (68.5, 0.36),
    "RTMPose-s": (72.2, 0.68), "RTMPose-m": (75.8, 1.93), "RTMPose-l": (76.5, 4.16),
    "ViTPose-S": (73.8, 5.6), "ViTPose-B": (75.8, 18.5), "ViTPose-L": (78.3, 61.6),
    "ViTPose-H": (79.1, 126),
}  # fmt: skip


def test_other_systems():
    def on(data):
        return {system.name: system for system in OTHERS if system.data == data}

    mpii = {n: (s.score, s.strict_score, s.gflops) for n, s in on("MPII validation").items()}
    assert mpii == MPII
    validation = {n: (s.score, s.gflops) for n, s in on("COCO validation").items()}
    assert validation == COCO_VALIDATION
    test_dev = {n: (s.score, s.gflops) for n, s in on("COCO test-dev").items()}
    assert test_dev == {"EvoPose2D-L": (75.7, 17.7)}
    assert len(OTHERS) == len(mpii) + len(validation) + 1 and all(s.source for s in OTHERS)


def test_costs_at_the_size_of_the_score():
    costs = {system.name: system.cost for system in OTHERS if system.data == "MPII validation"}
    assert costs["Lite-HRNet-30"] == pytest.approx(0.31 * 4 / 3)
    assert costs["SimpleBaseline-101"] == pytest.approx(16.5, abs=0.05)
    assert costs["SimpleBaseline-50, 384 px"] == pytest.approx(12.0 * 2.25)
    assert costs["EfficientPose IV"] == 72.89
    counted = {system.name: system.gmac for system in OTHERS if system.gmac is not None}
    assert counted == {"SimpleBaseline-50": 5.43, "HRNet-W32": 7.65}  # the last ones: of COCO


def test_systems_of_figure_7():
    mpii = {system.name: system for system in systems_of("mpii") if system.in_paper}
    assert len(mpii) == 16  # 8 of Table IV, 5 more of Table VI, 3 of Table III: P = 3 is d = 8
    assert mpii["d = 8"].score == 87.0 and mpii["ours-b"].cost == 9.4
    rules = {name: round(mpii[name].cost, 3) for name in ("P = 1", "P = 5", "P = 8")}
    assert rules == {"P = 1": 0.609, "P = 5": 1.719, "P = 8": 2.559}
    assert "not printed" in mpii["P = 8"].note
    coco = [system for system in systems_of("coco") if system.in_paper]
    assert len(coco) == 16 and sum(system.cost is None for system in coco) == 7
    assert {s.name.partition(":")[0] for s in coco if s.ours} == {"ours-1", "ours-2", "ours-3"}
    table = systems_table("coco")
    assert len(table) == 16 + 17 and table["source"].str.len().min() > 10
    assert table["source"].iloc[0] == "the paper, Table VII"
    with pytest.raises(ValueError, match="mpii, coco; got 'lsp'"):
        systems_of("lsp")
