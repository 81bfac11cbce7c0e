"""Tests of the paper's cost columns: numbers by its counting rules, and the command."""

import json

import pytest

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.cli.main import main
from posenfs.model.cost import measured_cost
from posenfs.model.memory import training_memory
from posenfs.model.space import FabricSpec
from posenfs.search.build import build_model
from posenfs.search.experiment import Experiment
from posenfs.search.saved_models import save_model
from posenfs.study.cost_items import ITEMS
from posenfs.study.costs import cost_rows, cost_text

# (parameters in M, billions) by the rule that made the paper's number, to the printed digit
RULE = {
    "t2_p3": (3.319, 1.164), "t4_d1": (3.315, 1.147), "t4_d4": (3.317, 1.154),
    "t4_d16": (3.325, 1.184),
    "t3_p1": (2.002, 0.609), "t3_p5": (4.637, 1.719), "t3_p8": (6.615, 2.559),
    "mobilenet_v2": (1.338, 0.312),
    "resnet50": (23.508, 4.972), "hrnet_w32_stage3": (8.128, 5.890), "fabric_1": (5.769, 1.183),
    "fabric_2": (6.672, 1.150), "fabric_3": (9.558, 1.572), "ours_a": (5.147, 4.586),
    "ours_b": (16.412, 9.381),
    "ours_c": (13.647, 8.348), "branchnet_1": (12.822, 23.675), "branchnet_2": (12.606, 22.822),
    "ours_1": (6.126, 4.032), "ours_2": (27.466, 11.416), "ours_3": (16.413, 15.834),
    "simple_baseline_50": (33.999, 11.987), "simple_baseline_50_coco": (34.000, 8.991),
    "simple_baseline_50_vector8": (34.028, 12.097),
    "simple_baseline_152": (68.635, 21.019), "hrnet_w32": (28.536, 9.493),
    "hrnet_w32_vector8": (28.540, 9.507),
}  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    return cost_rows()


def test_counting_rules_give_the_printed_numbers(rows):
    by_rule = {row["item"]: (row["params_paper_rule"], row["gflops_paper_rule"]) for row in rows}
    assert {
        item: (round(params / 1e6, 3), round(gflops, 3))
        for item, (params, gflops) in by_rule.items()
    } == RULE


def test_deviations_from_the_rules_have_a_note(rows):
    for row in rows:
        off = [
            abs(rule / printed - 1)
            for printed, rule in (
                (row["paper_params_m"], row["params_paper_rule"] / 1e6),
                (row["paper_gflops"], row["gflops_paper_rule"]),
            )
            if printed is not None and abs(rule - printed) > 0.05
        ]
        assert row["note"] or max(off, default=0) < 0.011, row["item"]


def test_the_command(rows, capsys):
    main(["cost", "t2_p3", "ours_2", "--json"])
    assert json.loads(capsys.readouterr().out) == [
        row for row in rows if row["item"] in ("t2_p3", "ours_2")
    ]
    main(["cost", "t3_p8"])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("t3_p8"))
    assert "5.483" in line and "6.615" in line and "2.748" in line
    assert all(item in cost_text(rows) for item in ITEMS)
    with pytest.raises(
        SystemExit, match="'t9' is neither a run nor a model's folder, nor one of: t2_p3"
    ):
        main(["cost", "t9"])


def test_modules_memory_and_latency_of_a_saved_model(tmp_path, capsys):
    experiment = Experiment(fabric=FabricSpec(width=2), image_size=(64, 64))
    model = build_model(experiment, part_scheme(MPII, 3))
    save_model(tmp_path / "mine", model, experiment)
    folder = str(tmp_path / "mine")
    main(["cost", folder, "t4_d1", "--json"])
    assert [row["item"] for row in json.loads(capsys.readouterr().out)] == [folder, "t4_d1"]
    main(["cost", folder, "--modules", "--measure", "1", "2", "--json"])
    (mine,) = json.loads(capsys.readouterr().out)
    assert mine["params"] == measured_cost(model, 64, 64).params and mine["paper_params_m"] is None
    assert {
        "module": "",
        "params": mine["params"],
        "multiply_adds": round(mine["gmac"] * 1e9),
    } == mine["modules"][0]
    assert [m["batch_size"] for m in mine["measured"]] == [1, 2]
    assert mine["measured"][1]["training_bytes"] == training_memory(model, 2, 64, 64).total
    assert all(m["low_s"] <= m["median_s"] <= m["high_s"] for m in mine["measured"])
    main(["cost", folder, "--modules", "--measure", "1"])
    text = capsys.readouterr().out
    assert "heads.0.fabric" in text and "MiB" in text and "100.0%" in text
