"""A saved model's predictions for pictures of one's own, as COCO results and as drawn pictures in a folder."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from posenfs.body.skeleton import Skeleton
from posenfs.data.datasets.catalogue import skeleton_of
from posenfs.data.files import beside, write_whole
from posenfs.data.sample import DataError, People, load_image
from posenfs.evaluation.oks import rescore
from posenfs.evaluation.pictures import boxes_from_file, detected_people, whole_pictures
from posenfs.evaluation.predict import Predictions, predict
from posenfs.search.provenance import find_device
from posenfs.search.run import Run
from posenfs.search.saved import load_model
from posenfs.show.poses import draw_on_picture


def predict_pictures(
    pictures: Sequence[Path],
    model: str | Path | Run,
    output: Path,
    boxes: str = "whole",
    detector_weights: str = "coco",
    box_threshold: float = 0.5,
    decoding: str = "quarter offset",
    threshold: float = 0.2,
    device: str = "auto",
    progress: bool = True,
) -> int:
    """Write predictions.json and a drawn PNG for each picture into `output`; returns how many people there are.

    `boxes`: whole, detector, or a JSON file of boxes (`boxes_from_file`). A result is {image_id (the number of the
    picture), file_name, category_id 1, keypoints [x, y, score, …], score (box score times the mean of the keypoint
    scores above 0.2), bbox}. Raises DataError for pictures or boxes that cannot be used, or where a drawing would take
    a picture's place, ValueError for numbers that are no choice, before anything is written.
    """
    if not (0 <= threshold < math.inf and 0 <= box_threshold < 1):
        raise ValueError(
            f"scores from which keypoints are drawn, from 0 on, and people taken, from 0 to below 1; got {threshold}, "
            f"{box_threshold}"
        )
    if not pictures:
        raise DataError("no pictures given; name at least one file")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; choose a folder (--output)")
    for path in pictures:
        if path.is_dir():
            raise DataError(f"{path} is a folder; name its pictures: {path}/*.jpg")
    names = [path.stem for path in pictures]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two pictures are named {twice!r}; their drawings would take each other's place")
    drawings, given = [output / f"{name}.png" for name in names], {path.resolve() for path in pictures}
    if (lost := next((path for path in drawings if path.resolve() in given), None)) is not None:
        raise DataError(f"the drawing would take the place of the picture {lost}; choose another folder (--output)")
    saved, where = load_model(model), find_device(device)
    people = _people(
        pictures, skeleton_of(saved.experiment.data), boxes, detector_weights, box_threshold, where, progress
    )
    network, (height, width) = saved.model.to(where, memory_format=torch.channels_last), saved.experiment.image_size
    found = predict(network, people, (width, height), progress=progress, decoding=decoding)
    output.mkdir(parents=True, exist_ok=True)
    write_whole(output / "predictions.json", json.dumps(_results(people, found), indent=1) + "\n")
    bar = tqdm(pictures, "drawing", unit="picture", disable=not progress)
    for number, (path, drawing) in enumerate(zip(bar, drawings, strict=True)):
        own = people.image_index == number
        drawn = draw_on_picture(
            load_image(path), people.skeleton, found.keypoints_image[own], found.scores[own], threshold
        )
        with beside(drawing) as written:
            drawn.savefig(written, dpi=110)
    return len(people)


def _people(
    pictures: Sequence[Path],
    skeleton: Skeleton,
    boxes: str,
    weights: str,
    threshold: float,
    device: torch.device,
    progress: bool,
) -> People:
    if boxes == "whole":
        return whole_pictures(pictures, skeleton)
    if boxes == "detector":
        return detected_people(pictures, skeleton, weights, threshold, device, progress)
    if not Path(boxes).is_file():
        raise DataError(f"boxes are `whole`, `detector`, or a JSON file; there is no file {boxes}")
    return boxes_from_file(pictures, skeleton, Path(boxes))


def _results(people: People, found: Predictions) -> list[dict]:
    return [
        {
            "image_id": int(image) + 1,
            "file_name": Path(people.images[image]).name,
            "category_id": 1,
            "keypoints": [float(v) for point, s in zip(own, scores, strict=True) for v in (*point, s)],
            "score": float(score),
            "bbox": box.tolist(),
        }
        for image, own, scores, box, score in zip(
            people.image_index,
            found.keypoints_image,
            found.scores,
            people.boxes,
            rescore(people.box_scores, found.scores),
            strict=True,
        )
    ]
