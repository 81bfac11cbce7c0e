"""Results for tables, as `collect` returns them, without any training."""

import json

import numpy as np

from posenfs.study.fingerprints import configuration, numerics
from posenfs.study.profiles import PROFILES, experiment_of
from posenfs.study.rows import TABLES

PROFILE = PROFILES["smoke"]


SCORES = {
    "random": (50.0, 47.0, 48.3),
    "synchronous": (50.5, 50.9, 48.2),
    "first_order": (41.4, 41.5, 39.3),
}


def result(row: str, seed: int, score: float, table: str = "table_2") -> dict:
    """Return a result as `collect` does."""
    experiment = experiment_of(TABLES[table].rows[row], PROFILE, seed)
    spec, generator = experiment.fabric, np.random.default_rng(seed)
    parts = ("upper_limb_part", "head_part", "lower_limb_part")
    return {
        "fingerprint": f"{row}{seed}",
        "numerics": numerics(experiment.model),
        "name": f"smoke_{row}{seed}",
        "configuration": json.loads(json.dumps(configuration(experiment))),
        "data": {"train": "a", "valid": "b", "weights": None},
        "metrics": {
            "primary_metric": "pckh@0.5",
            "metrics": {"pckh@0.5": score, "pckh@0.11": score / 4, "pckh@0.1": score / 5},
            "people": 75,  # 60 of them are evaluated
            "boxes": "annotated",
            "head_size": "0.6 x head-box diagonal",
            "intervals": {
                "pckh@0.5": {
                    "value": score,
                    "low": score - 2,
                    "high": score + 2,
                    "confidence": 0.95,
                    "people": 60,
                }
            },
            "params": 1_000_000,
            "multiply_adds": 24_000_000,
        },
        "architectures": {
            part: {
                "alpha": generator.normal(size=spec.alpha_shape).tolist(),
                "beta": generator.normal(size=spec.beta_shape).tolist(),
            }
            for part in parts
        },
        "losses": [[1, 4.0], [2, 3.0]],
        "epochs": [[2, score]],
        "provenance": {"created": "2026-01-01T00:00:00", "commit": "abc"},
        "time": {
            "images_per_s": 20.0 + seed,
            "hours": 0.5,
            "device": "x86_64",
            "threads": 1,
            "peak_mb": 900,
        },
    }
