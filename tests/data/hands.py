"""Small files in COCO's form, written by hand: hands with three keypoints in images of 120 x 96."""

import json

from posenfs.body.skeleton import Skeleton

NAMES = ["wrist", "left_thumb", "right_thumb"]
HAND = Skeleton("hands", tuple(NAMES), ((1, 2),), (), (0.08, 0.08, 0.08))
TOML = """name = "hands"
category = "hand"
train = "train.json"
valid = "valid.json"
images = "pictures"
keypoints = ["wrist", "left_thumb", "right_thumb"]
mirrored = [["left_thumb", "right_thumb"]]
sigmas = [0.08, 0.08, 0.08]
"""


def annotation(id=1, **fields):
    return {
        "id": id,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [20, 30, 2, 60, 30, 2, 60, 70, 2],
        "num_keypoints": 3,
        "bbox": [10, 20, 60, 60],
        "area": 3600,
    } | fields


def hand_file(folder, annotations, name="hands.json", **fields):
    content = {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "width": 120, "height": 96} for n in (1, 2, 3)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "hand", "keypoints": NAMES}],
    }
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content | fields))
    return folder / name
