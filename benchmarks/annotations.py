"""How long an annotation file of COCO's size takes to read, and what is left of it in memory.

    python -m benchmarks.annotations        150,000 people with keypoints, 112,000 without, as COCO's training file has

The file is made up. It is read, and parsed by Python's own parser, in turns, each in a process of its own. Writes
benchmarks/results/annotations.json.
"""

import json
import multiprocessing
import statistics
import tempfile
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import tyro

from posenfs.body.skeleton import COCO
from posenfs.data.datasets.coco import read_coco


@dataclass(frozen=True)
class Options:
    people: int = 150_000
    others: int = 112_000  # without a labelled keypoint
    images: int = 64_000
    rounds: int = 3


def main(options: Options) -> None:
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, processes.Pool(1, maxtasksperchild=1) as pool:
        root = Path(folder)
        path = root / "person_keypoints_train2017.json"
        path.write_text(json.dumps(_content(options)))
        found = [
            {"read": pool.apply(_read, [root]), "Python's parser": pool.apply(_parse, [path])}
            for _ in range(options.rounds)
        ]
        result = {"people": options.people, "megabytes": round(path.stat().st_size / 1e6)}
    for name in found[0]:
        result[name] = {
            key: round(statistics.median(one[name][key] for one in found), 2)
            for key in found[0][name]
        }
    target = Path(__file__).parent / "results" / "annotations.json"
    target.write_text(json.dumps(result, indent=2) + "\n")
    print(target.read_text(), end="")


def _read(root: Path) -> dict[str, float]:
    """Everything: parsed, checked, in arrays."""
    wall, cpu = time.perf_counter(), time.process_time()
    people = read_coco(root, "train")
    times = {"seconds": time.perf_counter() - wall, "seconds of a core": time.process_time() - cpu}
    arrays = (getattr(people, field.name) for field in fields(people))
    return times | {
        "megabytes of arrays": sum(a.nbytes for a in arrays if isinstance(a, np.ndarray)) / 1e6
    }


def _parse(path: Path) -> dict[str, float]:
    """Parsed alone."""
    wall, cpu = time.perf_counter(), time.process_time()
    json.loads(path.read_bytes())
    return {"seconds": time.perf_counter() - wall, "seconds of a core": time.process_time() - cpu}


def _content(options: Options) -> dict:
    random, count = np.random.default_rng(0), options.people + options.others
    points = random.integers(0, 480, (count, len(COCO), 3))
    points[..., 2] = random.integers(0, 3, (count, len(COCO)))
    points[:, 0, 2] = 2
    points[options.people :] = 0
    points[points[..., 2] == 0] = 0
    boxes, outlines = (
        random.uniform(5, 200, (count, 4)).round(2),
        random.uniform(0, 640, (count, 40)).round(2),
    )
    images = random.integers(1, options.images + 1, count)
    return {
        "images": [
            {"id": n, "file_name": f"{n:012d}.jpg", "width": 640, "height": 480} for n in range(1, options.images + 1)
        ],
        "annotations": [
            {
                "id": n + 1, "image_id": int(images[n]), "category_id": 1, "iscrowd": 0, "bbox": boxes[n].tolist(),
                "area": float(boxes[n, 2] * boxes[n, 3]), "num_keypoints": int((points[n, :, 2] > 0).sum()),
                "keypoints": points[n].ravel().tolist(), "segmentation": [outlines[n].tolist()],
            }
            for n in range(count)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": COCO.keypoints}],
    }  # fmt: skip


if __name__ == "__main__":
    main(tyro.cli(Options))
