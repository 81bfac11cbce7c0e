"""A table of an ablation and its rows, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        label: Its title in the table.
        changes: How its experiment differs from the profile's, by dotted field.
        full: Further changes for profiles at full size: the paper's own data and image size.
        printed: The paper's scores by metric, percent (pckh@0.11 is its column @0.1).
        spreads: The numbers that the paper prints after ±, by metric.
        printed_seeds: Over how many seeds they are.
        costs: The paper's params_m (millions), gflops (its billions) and gpu_days.
        network: What the paper prints of its backbone and its head.
        item: Its network in `cost_items.ITEMS`, for the cost columns.
        against: The row that it is compared with.
        quoted: Whether it is a system of others, of which the paper quotes the numbers: not run.
        note: A remark for the table.
    """

    label: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    full: Mapping[str, Any] = field(default_factory=dict)
    printed: Mapping[str, float] = field(default_factory=dict)
    spreads: Mapping[str, float] = field(default_factory=dict)
    printed_seeds: int | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    network: str = ""
    item: str | None = None
    against: str | None = None
    quoted: bool = False
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table or figure of the paper, or an additional one.

    Attributes:
        title: Its title.
        question: The question that it answers.
        rows: Its rows by name.
        about: What its rows have in common and in what they differ, for its notebook.
        printed_on: The data of the paper's scores.
        panels: The panels of Figure 7 that its page draws (see `systems.PANELS`).
    """

    title: str
    question: str
    rows: Mapping[str, Row]
    about: str = ""
    printed_on: str = ""
    panels: tuple[str, ...] = ()
