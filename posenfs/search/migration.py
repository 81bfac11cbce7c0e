"""Migration of files that earlier versions wrote: the only place that knows the old formats.

Readers pass what they read through these functions; a search that opens an old run continues it in
the current format.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Fields of `rules` that config.json did not have -> what the networks had.
_NEW_RULES = {"always_entries": True}
# Field of `run` in version 0.1.0 -> group and field of today.
_RUN_FIELDS = {
    "strategy": ("search", "strategy"),
    "architecture_lr": ("search", "lr"),
    "architecture_lr_drops": ("search", "lr_drops"),
    "architecture_weight_decay": ("search", "weight_decay"),
    "warmup": ("search", "warmup"),
    "temperature": ("search", "temperature"),
    "cost_budget": ("search", "cost_budget"),
    "cost_weight": ("search", "cost_weight"),
    "held_out": ("search", "validation_split"),
    "judged": ("training", "early_stopping_split"),
    "snapshot_every": ("checkpoints", "every"),
    "keep_snapshots": ("checkpoints", "keep"),
    "snapshot_gb": ("checkpoints", "max_gb"),
    "log_every": ("runtime", "log_every"),
    "recompute": ("runtime", "recompute"),
}  # the others are fields of `training`, under the same name
_RESULT_FIELDS = {"headline": "primary_metric"}
_CHOSEN_FIELDS = {"judged_by": "selected_on", "judged_by_those_reported_on": "selected_on_reported"}
_OLD_CHECKPOINTS, _CHECKPOINTS = "snapshots", "checkpoints"


def migrate_config(config: Any) -> Any:
    """Return the content of config.json with today's names and fields.

    Args:
        config: Decoded JSON, of any version. What is not an object is returned as it is.
    """
    if not isinstance(config, dict):
        return config
    config = _migrate_names(config)
    if isinstance(rules := config.get("rules"), dict):
        config["rules"] = {**_NEW_RULES, **rules}
    return config


def _migrate_names(config: Mapping) -> dict:
    config = dict(config)
    if "start" in config:
        config["init_from"] = config.pop("start")
    if isinstance(data := config.get("data"), dict):
        data = _renamed(data, {"pictures": "images"})
        config["data"] = {**data, "name": "custom"} if data.get("name") == "own" else data
    if isinstance(run := config.pop("run", None), dict):
        for name, value in run.items():
            group, field = _RUN_FIELDS.get(name, ("training", name))
            config[group] = {**config.get(group, {}), field: value}
    return config


def migrate_metrics(metrics: Mapping) -> dict:
    """Return the content of metrics.json or status.json with today's names."""
    metrics = _renamed(metrics, _RESULT_FIELDS)
    if "chosen" in metrics:
        metrics["chosen"] = _renamed(metrics["chosen"], _CHOSEN_FIELDS)
    return metrics


def migrate_result(result: Mapping) -> dict:
    """Return the content of a file of reports/results with today's names.

    New fields are not added: the fingerprint covers them only where they change the network.
    """
    return {
        **result,
        "configuration": _migrate_names(result["configuration"]),
        "metrics": migrate_metrics(result["metrics"]),
    }


def migrate_history(rows: list[dict]) -> list[dict]:
    """Return the rows of history.jsonl with today's names."""
    return [_renamed(row, {"judged": "early_stopping_score"}) for row in rows]


def migrate_state(state: Mapping) -> dict:
    """Return the state of a checkpoint with today's names."""
    return _renamed(state, {"scores": "epoch_scores"})


def migrate_provenance(provenance: Mapping) -> dict:
    """Return the content of provenance.json with today's names."""
    provenance = dict(provenance)
    if "branch" in provenance:
        provenance["branch"] = _renamed(provenance["branch"], {"snapshot": "checkpoint"})
    return provenance


def migrate_command(command: Mapping) -> dict:
    """Return the content of control.json with today's names."""
    names = {"snapshot": "checkpoint"}
    return {**command, "command": names.get(command["command"], command["command"])}


def checkpoints_folder(run: Path) -> Path:
    """Return the folder of a run's checkpoints, which may have its old name."""
    old = run / _OLD_CHECKPOINTS
    return old if old.is_dir() else run / _CHECKPOINTS


def migrate_folder(run: Path) -> None:
    """Give the files of a run their current names. The caller holds the run's lock."""
    old = run / _OLD_CHECKPOINTS
    if old.is_dir():
        os.replace(old, run / _CHECKPOINTS)


def _renamed(content: Mapping, names: Mapping[str, str]) -> dict:
    return {names.get(name, name): value for name, value in content.items()}
