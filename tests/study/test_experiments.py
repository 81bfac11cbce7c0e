"""Tests of tables and profiles: every row is valid and has the network of its cost column."""

from dataclasses import replace
from functools import cache

import pytest

from posenfs.data.datasets.catalogue import parts_of
from posenfs.model.cost import measured_cost
from posenfs.model.space import PAPER, RELEASED
from posenfs.search.build import build_model
from posenfs.study.costs import ITEMS
from posenfs.study.experiments import PROFILES, TABLES, changed, choose_profile, experiment_of
from tests.sweeps import sweep

ROWS = [
    (table, name)
    for table, entry in TABLES.items()
    for name, row in entry.rows.items()
    if not row.quoted
]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("table", "name"), ROWS)
def test_every_row_is_a_valid_experiment(table, name, profile):
    experiment = experiment_of(TABLES[table].rows[name], PROFILES[profile], seed=7)
    assert experiment.training.seed == 7
    assert experiment.image_size[0] % 32 == 0
    assert (experiment.data.name in ("mpii", "coco")) == PROFILES[profile].full
    against = TABLES[table].rows[name].against
    assert against is None or against in TABLES[table].rows


COUNTED = [(table, name) for table, name in ROWS if "fabric_" not in name]
SMALL = [
    ("table_3", "p1"),
    ("table_4", "d4"),
    ("table_4", "simple_baseline_vector"),
    ("table_5", "ours_a"),
]


@pytest.mark.parametrize(("table", "name"), sweep(COUNTED, fast=SMALL))
def test_rows_build_the_networks_of_the_cost_columns(table, name):
    row = TABLES[table].rows[name]
    item = ITEMS.get(row.item or "")
    if item is None or (table == "table_7" and name == "simple_baseline"):
        pytest.skip("the cost columns have no such line")
    experiment = replace(experiment_of(row, PROFILES["paper_text"]), backbone_weights=None)
    assert cost_of_network(
        replace(
            experiment,
            name="any",
        )
    ) == cost_of_item(row.item)


@cache  # many rows train the same network
def cost_of_network(experiment):
    return measured_cost(
        build_model(experiment, parts_of(experiment.data, experiment.parts)), *experiment.image_size
    )


@cache
def cost_of_item(name):
    return measured_cost(ITEMS[name].build(), *ITEMS[name].size)


def test_rules_and_weights_of_profiles():
    row = TABLES["table_4"].rows["simple_baseline"]
    paper, text, study = (
        experiment_of(row, PROFILES[name]) for name in ("paper", "paper_text", "study")
    )
    assert paper.rules == RELEASED and text.rules == PAPER and study.rules == PAPER
    assert paper.backbone_weights == "imagenet" and study.backbone_weights is None
    assert (
        experiment_of(TABLES["table_2"].rows["random"], PROFILES["study"]).backbone_weights
        == "imagenet"
    )
    assert paper.training.epochs == 200 and paper.image_size == (256, 256)
    coco = experiment_of(TABLES["table_7"].rows["ours_1"], PROFILES["paper"])
    assert coco.data.name == "coco" and coco.image_size == (384, 288)
    assert experiment_of(TABLES["table_7"].rows["ours_1"], PROFILES["study"]).data.name == "lsp"


def test_changed_sizes_and_data():
    profile = choose_profile(
        "study", 128, 4, 8, "synthetic", None, (10, 4), {"resnet50": "file.pth"}
    )
    experiment = experiment_of(TABLES["table_5"].rows["resnet50"], profile)
    assert (
        experiment.image_size == (128, 128)
        and experiment.training.epochs == 4
        and experiment.training.batch_size == 8
    )
    assert (
        experiment.data.name == "synthetic"
        and experiment.data.images == (10, 4)
        and experiment.backbone_weights == "file.pth"
    )
    with pytest.raises(ValueError, match="unknown profile 'papre'; known: paper, "):
        choose_profile("papre")
    with pytest.raises(ValueError, match="the paper's own data and pixels"):
        choose_profile("paper", image_size=64)
    with pytest.raises(ValueError, match="quoted"):
        experiment_of(TABLES["table_7"].rows["hrnet_quoted"], PROFILES["study"])
    with pytest.raises(TypeError, match="epocs"):
        changed(experiment, {"run.epocs": 3})


def test_each_rules_row_changes_one_switch():
    rows = TABLES["rules"].rows
    single = [
        experiment_of(rows[name], PROFILES["study"]).rules
        for name in rows
        if name not in ("paper", "released")
    ]
    for rules in single:
        assert (
            sum(a != b for a, b in zip(vars(rules).values(), vars(PAPER).values(), strict=True))
            == 1
        )
    assert experiment_of(rows["released"], PROFILES["study"]).rules == RELEASED
