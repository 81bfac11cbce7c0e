"""Tests of tables and profiles: every row is valid and has the network of its cost column."""

from dataclasses import replace
from functools import cache

import pytest

from posenfs.data.datasets.catalogue import parts_of
from posenfs.model.cost import measured_cost
from posenfs.model.space import PAPER, RELEASED
from posenfs.search.build import build_model
from posenfs.study.cost_items import ITEMS
from posenfs.study.profiles import PROFILES, experiment_of
from posenfs.study.rows import TABLES
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
