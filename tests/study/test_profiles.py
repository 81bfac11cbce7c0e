"""Tests of profiles: rules, initial weights, and changed sizes and data."""

import pytest

from posenfs.model.space import PAPER, RELEASED
from posenfs.study.profiles import PROFILES, changed, choose_profile, experiment_of
from posenfs.study.rows import TABLES


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
    with pytest.raises(ValueError, match="the paper's own data and image size"):
        choose_profile("paper", image_size=64)
    with pytest.raises(ValueError, match="quoted"):
        experiment_of(TABLES["table_7"].rows["hrnet_w32"], PROFILES["study"])
    with pytest.raises(TypeError, match="epocs"):
        changed(experiment, {"training.epocs": 3})
