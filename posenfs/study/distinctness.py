"""A permutation test of whether architectures differ more between parts than between seeds.

A search with another seed finds another architecture for the same part, too. A search has found
structures that belong to the parts only if fabrics of different parts are farther apart than
fabrics of one part from different seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations, permutations, product
from math import factorial

import numpy as np
import pandas

from posenfs.evaluation.seeds import holm
from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec

_KINDS = ("operations", "sources")
_ROUNDING = 1e-9  # sums of distances that differ by less count as equal
ALPHA = 0.05  # level of significance


@dataclass(frozen=True)
class Distinctness:
    """Distances of one kind of weights, and the result of the permutation test.

    A distance is the share of weight that would have to move, 0 to 1. The test relabels the parts
    of each seed.

    Attributes:
        kind: operations or sources.
        within: Distances of one part between seeds (the noise).
        between: Distances of different parts between seeds.
        statistic: Mean of `between` minus mean of `within`.
        p: Share of relabellings, the true one included, with parts at least as far apart.
        permutations: How many relabellings are compared.
        least_p: The smallest p that is possible with so many seeds and parts.
    """

    kind: str
    within: tuple[float, ...] = field(repr=False)
    between: tuple[float, ...] = field(repr=False)
    statistic: float
    p: float
    permutations: int
    least_p: float

    @property
    def distinct(self) -> bool:
        """Whether parts differ more than seeds, at level ALPHA."""
        return self.p <= ALPHA

    def __str__(self) -> str:
        if self.distinct:
            verdict = "parts differ more than seeds do"
        else:
            verdict = "not distinguishable from the noise of seeds"
        between, within = np.mean(self.between), np.mean(self.within)
        text = (
            f"{self.kind}: {verdict}: {between:.3f} between parts, {within:.3f} within a part, "
            f"p = {self.p:.2g} ({self.permutations} permutations)"
        )
        if self.least_p <= ALPHA:
            return text
        return (
            f"{text}; so few seeds and parts cannot show a difference: p is {self.least_p:.2g} "
            "at best"
        )


def part_distinctness(
    runs: Mapping[int, Mapping[str, Architecture]], spec: FabricSpec, most: int = 5000
) -> dict[str, Distinctness]:
    """Test one-sided whether fabrics of different parts differ more than fabrics of one part.

    Operations and sources are two tests: correct their p values (`holm`) to read both.

    Args:
        runs: Architectures by seed and part. All have the same spec and the same parts.
        spec: Their spec.
        most: Number of relabellings that are drawn, always the same ones, if there are more.

    Returns:
        The results by kind: operations, sources.

    Raises:
        ValueError: There are fewer than two seeds or parts, or parts or shapes differ.
    """
    seeds, parts = _checked(runs, spec)
    distances = _distances([[runs[seed][part] for part in parts] for seed in seeds], spec)
    pairs = list(combinations(range(len(seeds)), 2))
    labels, least_p = _relabellings(len(seeds), len(parts), most)
    same_part = np.eye(len(parts), dtype=bool)
    results = {}
    for kind, of_kind in zip(_KINDS, distances, strict=True):
        blocks = np.stack([of_kind[a, b] for a, b in pairs])  # [seed pairs, P, P]
        within, between = blocks[:, same_part], blocks[:, ~same_part]
        # Relabelling does not change the sum of all distances. Parts are farther apart if and only
        # if the sum of the distances within parts is smaller.
        sums = np.zeros(len(labels))
        for a, b in pairs:
            sums += of_kind[a, b][labels[:, a], labels[:, b]].sum(1)
        p = float(np.mean(sums <= sums[0] + _ROUNDING))
        results[kind] = Distinctness(
            kind,
            tuple(within.ravel().tolist()),
            tuple(between.ravel().tolist()),
            float(between.mean() - within.mean()),
            p,
            len(labels),
            least_p,
        )
    return results


def _checked(
    runs: Mapping[int, Mapping[str, Architecture]], spec: FabricSpec
) -> tuple[list[int], list[str]]:
    """Return seeds and parts, sorted, or raise ValueError."""
    if len(runs) < 2:
        raise ValueError(f"distances between seeds need runs of two seeds or more; got {len(runs)}")
    seeds = sorted(runs)
    parts = sorted(runs[seeds[0]])
    for seed in seeds:
        if sorted(runs[seed]) != parts:
            raise ValueError(
                f"runs of the same parts can be compared: seed {seeds[0]} has {', '.join(parts)}; "
                f"seed {seed} has {', '.join(sorted(runs[seed]))}"
            )
        for part, architecture in runs[seed].items():
            shapes = tuple(architecture.alpha.shape), tuple(architecture.beta.shape)
            if shapes != (spec.alpha_shape, spec.beta_shape):
                raise ValueError(
                    f"{part} of seed {seed} is no fabric of this spec: alpha and beta are "
                    f"{shapes[0]} and {shapes[1]}, and should be {spec.alpha_shape} and "
                    f"{spec.beta_shape}"
                )
    if len(parts) < 2:
        raise ValueError(
            f"distances between parts need two parts or more; got {', '.join(parts) or 'none'}"
        )
    return seeds, parts


def _distances(fabrics: list[list[Architecture]], spec: FabricSpec) -> list[np.ndarray]:
    """Return `Architecture.distance` between all fabrics [S][P], as two arrays [S, S, P, P].

    Double precision is needed: many sums of distances are equal and must stay equal.
    """
    operations, sources = [], []
    for row in fabrics:
        doubles = [
            Architecture(fabric.alpha.detach().cpu().double(), fabric.beta.detach().cpu().double())
            for fabric in row
        ]
        operations.append([fabric.operation_weights.flatten(0, -2).numpy() for fabric in doubles])
        sources.append([fabric.source_weights(spec).numpy() for fabric in doubles])
    distances = []
    for weights in (
        np.array(operations, float),
        np.array(sources, float),
    ):  # [S, P, places, choices]
        moved = [[np.abs(a[:, None] - b).sum(-1).mean(-1) / 2 for b in weights] for a in weights]
        distances.append(np.array(moved))
    return distances


def _relabellings(seeds: int, parts: int, most: int) -> tuple[np.ndarray, float]:
    """Return orders of the parts in each seed [n, S, P], the true one first, and the least p.

    The first seed keeps its order: relabelling all seeds alike changes no distance and would only
    count every case P! times.
    """
    count = factorial(parts) ** (seeds - 1)
    if count <= most:
        orders = [list(order) for order in permutations(range(parts))]
        combined = [[orders[0], *rest] for rest in product(orders, repeat=seeds - 1)]
        return np.array(combined), 1 / count
    labels = np.tile(np.arange(parts), (most, seeds, 1))
    labels[1:, 1:] = np.random.default_rng(0).permuted(labels[1:, 1:], axis=-1)
    return labels, 1 / most


def distinctness_table(tests_by_row: Mapping[str, Mapping[str, Distinctness]]) -> pandas.DataFrame:
    """Return the results of `part_distinctness`, a line for each row and kind of weights.

    The column `p (Holm)` holds p after Holm's correction over the table.

    Args:
        tests_by_row: What `part_distinctness` returns, by the label of the row.
    """
    tests = [(label, test) for label, kinds in tests_by_row.items() for test in kinds.values()]
    corrected = holm([test.p for _, test in tests])
    lines = [
        {
            "row": label,
            "weights of": test.kind,
            "between parts": sum(test.between) / len(test.between),
            "within a part": sum(test.within) / len(test.within),
            "p": test.p,
            "p (Holm)": p_holm,
            "least p": test.least_p,
            "verdict": _verdict(test, p_holm),
        }
        for (label, test), p_holm in zip(tests, corrected, strict=True)
    ]
    return pandas.DataFrame(lines, columns=None if lines else ["row", "p"]).set_index("row")


def _verdict(test: Distinctness, p_holm: float) -> str:
    if p_holm <= ALPHA:
        return "parts differ"
    if test.p <= test.least_p:
        return "inconclusive: p is the least that so few seeds allow"
    return "not distinguishable from the noise of seeds"
