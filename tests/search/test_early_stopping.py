"""A search with patience ends where no better score came, and its best epoch is what it found."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from posenfs.search import recorded_trainer
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search

SCORES = (10.0, 30.0, 20.0, 30.0, 50.0)  # by epoch; the fourth is no better than the second


@pytest.fixture
def patient(tiny):
    return replace(
        tiny,
        training=replace(
            tiny.training, batch_size=3, epochs=5, patience=2, early_stopping_split=0.3
        ),
    )


@pytest.fixture
def scripted(monkeypatch):
    """Judges who say these scores, whatever the network."""

    def evaluate(predictions, people):
        found, errors = measured(predictions, people)
        if "early stopping" in people.name:
            found["pckh@0.5"] = SCORES[remaining.pop(0)]
        return found, errors

    measured, remaining = recorded_trainer.evaluate, list(range(len(SCORES)))
    monkeypatch.setattr(recorded_trainer, "evaluate", evaluate)
    return remaining


def test_the_best_epoch_is_what_it_found(patient, scripted, tmp_path):
    search = Search(patient, tmp_path, device="cpu", progress=False)
    metrics = search.finish()
    assert search.finished and search.epoch_number == 4 and len(scripted) == 1
    assert [
        row["early_stopping_score"] for row in search.run.history() if "early_stopping_score" in row
    ] == [10, 30, 20, 30]
    best = search.run.checkpoints.load(2 * search.steps_per_epoch)
    said = search.run.metrics()
    assert said["chosen"] == {
        "epoch": 2, "epochs": 4, "score": 30.0, "selected_on": "30% of mpii train by image, early stopping (seed 0)",
        "selected_on_reported": False,
    }  # fmt: skip
    assert metrics == said["metrics"] == best["metrics"]
    saved = load_model(tmp_path).model.state_dict()
    assert all(torch.equal(saved[key], value) for key, value in best["model"].items())
    errors = search.run.errors("pckh")
    again = Search(tmp_path, device="cpu", progress=False)
    assert again.finished and again.metrics == metrics
    assert all(torch.equal(value, saved[key]) for key, value in again.model.state_dict().items())
    np.testing.assert_array_equal(again.run.errors("pckh"), errors)
    again.rewind(3 * again.steps_per_epoch)  # from the last epoch's weights, not the best one's
    assert (
        not again.finished
        and again.metrics == again.run.checkpoints.load(3 * again.steps_per_epoch)["metrics"]
    )


def test_nobody_who_judges_is_trained_on(patient, tmp_path):
    first_order = replace(
        patient,
        search=replace(patient.search, strategy="first_order", validation_split=0.4),
        training=replace(patient.training, early_stopping_split=0.3),
    )
    batches = Search(first_order, tmp_path, device="cpu", progress=False).trainer.batches
    splits = (*batches.training_splits, batches.early_stopping)
    parts = [set(people.person_ids.tolist()) for people in splits]
    assert all(parts) and sum(map(len, parts)) == len(set.union(*parts)) == len(batches.annotations)
    images = [set(people.image_index.tolist()) for people in splits]
    assert sum(map(len, images)) == len(set.union(*images))


def test_without_judges_the_result_says_it_is_too_good(patient, tmp_path):
    """Training on all images: the validation people judge, and are reported on."""
    search = Search(
        replace(patient, training=replace(patient.training, early_stopping_split=0.0)),
        tmp_path,
        device="cpu",
        progress=False,
    )
    search.finish()
    chosen = search.run.metrics()["chosen"]
    assert len(search.train) == len(search.trainer.batches.annotations)
    assert chosen["selected_on"] == search.valid.name and chosen["selected_on_reported"]


def test_an_interrupted_one_stops_at_the_same_epoch(patient, scripted, tmp_path):
    search = Search(patient, tmp_path, device="cpu", progress=False)
    for _ in range(3 * search.steps_per_epoch + 1):
        search.step()
    search.close()
    again = Search(tmp_path, device="cpu", progress=False)
    assert again.step_number == 3 * again.steps_per_epoch
    again.finish()
    assert again.epoch_number == 4


def test_patience_that_is_none(tiny):
    with pytest.raises(ValueError, match=r"training.patience must be above 0; got 0"):
        replace(tiny.training, patience=0)
    with pytest.raises(
        ValueError,
        match=r"training.early_stopping_split needs training.patience, which is not set; got 0.1",
    ):
        replace(tiny.training, early_stopping_split=0.1)
