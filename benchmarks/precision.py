"""What bfloat16 costs in accuracy: a finished run's network on its validation people, in both, person by person.

python -m benchmarks.precision RUN
"""

from dataclasses import replace
from typing import Annotated

import torch
import tyro
from tyro.conf import Positional

from posenfs.data.datasets.catalogue import open_data
from posenfs.evaluation.metrics import evaluate, primary_distance_metric
from posenfs.evaluation.pck import counted_keypoints
from posenfs.evaluation.prediction import predict
from posenfs.evaluation.stats import compare_pck, pck_interval
from posenfs.search.forward import Forward
from posenfs.search.provenance import find_device
from posenfs.search.saved_models import load_model


def main(run: Annotated[str, Positional], device: str = "auto") -> None:
    saved, place = load_model(run), find_device(device)
    _, people = open_data(saved.experiment.data)
    measure, threshold = primary_distance_metric(people)
    size = saved.experiment.image_size
    model, errors = saved.model.to(place, memory_format=torch.channels_last), []
    for precision in ("float32", "bfloat16"):
        with Forward(
            model, replace(saved.experiment.training, precision=precision), place
        ).autocast():
            _, found = evaluate(predict(model, people, size, progress=True), people)
        errors.append(found[:, counted_keypoints(people.skeleton, measure)])
        print(f"{precision:9} {measure}@{threshold:g} {pck_interval(errors[-1], threshold)}")
    print(f"bfloat16 less float32: {compare_pck(*errors, threshold)}")


if __name__ == "__main__":
    tyro.cli(main)
