"""Are parts different, or is it noise? Distances between parts' architectures beside those between seeds.

A search with another seed finds another architecture for the same part too. Only if fabrics of different parts lie
farther apart than fabrics of one part do over seeds has a search found structures that belong to the parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations, permutations, product
from math import factorial

import numpy as np

from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec

_KINDS = ("operations", "sources")
_ROUNDING = 1e-9  # sums of distances that differ by less are equal
ALPHA = 0.05


@dataclass(frozen=True)
class Distinctness:
    """Of one kind of weights: distances (shares of weight that would have to move, 0 to 1), and what they tell.

    The permutation test relabels the parts of each seed; `p` is the share of relabellings, the true one among them,
    under which parts lie at least as far apart.
    """

    kind: str  # operations or sources
    within: tuple[float, ...] = field(repr=False)  # of one part, between seeds: the noise
    between: tuple[float, ...] = field(repr=False)  # of different parts, between seeds
    statistic: float  # mean between less mean within
    p: float
    permutations: int  # relabellings judged
    least_p: float  # no result of as many seeds and parts could have had a smaller p

    @property
    def distinct(self) -> bool:
        return self.p <= ALPHA

    def __str__(self) -> str:
        verdict = "parts differ more than seeds do" if self.distinct else "not distinguishable from the noise of seeds"
        means = f"{np.mean(self.between):.3f} between parts, {np.mean(self.within):.3f} within a part"
        words = f"{self.kind}: {verdict}: {means}, p = {self.p:.2g} ({self.permutations} permutations)"
        if self.least_p <= ALPHA:
            return words
        return f"{words}; so few seeds and parts cannot show a difference: p is {self.least_p:.2g} at best"


def part_distinctness(
    runs: Mapping[int, Mapping[str, Architecture]], spec: FabricSpec, most: int = 5000
) -> dict[str, Distinctness]:
    """Whether parts' fabrics differ more than seeds do, of operations and of sources; `runs` are {seed: {part:
    architecture}}, all of one spec and of the same parts. One-sided; of more than `most` relabellings that many are
    drawn, always the same. The two kinds are two tests: read together, correct them (`holm`).

    Raises ValueError for fewer than two seeds or parts, and where parts or shapes are not the same in every run.
    """
    seeds, parts = _checked(runs, spec)
    distances = _distances([[runs[seed][part] for part in parts] for seed in seeds], spec)
    pairs = list(combinations(range(len(seeds)), 2))
    labels, least_p = _relabellings(len(seeds), len(parts), most)
    same = np.eye(len(parts), dtype=bool)
    found = {}
    for kind, own in zip(_KINDS, distances, strict=True):
        blocks = np.stack([own[a, b] for a, b in pairs])  # [seed pairs, P, P]
        within, between = blocks[:, same], blocks[:, ~same]
        # relabelling leaves the sum of all distances as it is: parts lie farther apart where those within are smaller
        sums = sum(own[a, b][labels[:, a], labels[:, b]].sum(1) for a, b in pairs)
        p = float(np.mean(sums <= sums[0] + _ROUNDING))
        statistic = float(between.mean() - within.mean())
        values = tuple(within.ravel().tolist()), tuple(between.ravel().tolist())
        found[kind] = Distinctness(kind, *values, statistic, p, len(labels), least_p)
    return found


def _checked(runs: Mapping[int, Mapping[str, Architecture]], spec: FabricSpec) -> tuple[list[int], list[str]]:
    """Seeds and parts in an order that does not hang on the order they were given in."""
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
        for part, own in runs[seed].items():
            shapes = tuple(own.alpha.shape), tuple(own.beta.shape)
            if shapes != (spec.alpha_shape, spec.beta_shape):
                raise ValueError(
                    f"{part} of seed {seed} is no fabric of this spec: alpha and beta are {shapes[0]} and {shapes[1]}, "
                    f"and should be {spec.alpha_shape} and {spec.beta_shape}"
                )
    if len(parts) < 2:
        raise ValueError(f"one part alone ({', '.join(parts) or 'none'}) has no other to differ from")
    return seeds, parts


def _distances(fabrics: list[list[Architecture]], spec: FabricSpec) -> list[np.ndarray]:
    """Of operations and of sources, between all fabrics [S][P]: Architecture.distance, at once [S, S, P, P]."""
    # in double precision: of such distances many sums are equal, and rounding must not tell them apart
    plain = [
        [Architecture(*(s.detach().cpu().double() for s in (own.alpha, own.beta))) for own in row] for row in fabrics
    ]
    operations = [[fabric.operation_weights.flatten(0, -2).numpy() for fabric in row] for row in plain]
    sources = [[fabric.source_weights(spec).numpy() for fabric in row] for row in plain]
    found = []
    for weights in (np.array(operations, float), np.array(sources, float)):  # [S, P, places, choices]
        moved = [[np.abs(a[:, None] - b).sum(-1).mean(-1) / 2 for b in weights] for a in weights]
        found.append(np.array(moved))
    return found


def _relabellings(seeds: int, parts: int, most: int) -> tuple[np.ndarray, float]:
    """Orders of the parts in each seed [n, S, P], the true one first, and the least p they allow. The first seed keeps
    its order: to relabel all seeds alike changes no distance, and would only count everything P! times."""
    every = factorial(parts) ** (seeds - 1)
    if every <= most:
        orders = [list(order) for order in permutations(range(parts))]
        return np.array([[orders[0], *others] for others in product(orders, repeat=seeds - 1)]), 1 / every
    labels = np.tile(np.arange(parts), (most, seeds, 1))
    labels[1:, 1:] = np.random.default_rng(0).permuted(labels[1:, 1:], axis=-1)
    return labels, 1 / most
