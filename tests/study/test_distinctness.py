"""Tests of the permutation test against a plain loop, on noise, and on planted differences."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from scipy.stats import binom

from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.study.distinctness import Distinctness, distinctness_table, part_distinctness

SPEC = FabricSpec(width=2)
NAMES = ("head_part", "arm", "leg", "foot")


def noise(seed: int, seeds: int, parts: int, planted: float = 0.0, shift: float = 0.0) -> dict:
    """Return random fabrics.

    `planted` adds an offset that all seeds of a part share, `shift` one that all parts of a seed
    share.
    """
    random = torch.Generator().manual_seed(seed)

    def logits(*counts):
        return [
            torch.randn(*counts, *shape, generator=random, dtype=torch.float64)
            for shape in (SPEC.alpha_shape, SPEC.beta_shape)
        ]

    all_, of_parts, of_seeds = logits(seeds, parts), logits(1, parts), logits(seeds, 1)
    alpha, beta = (
        a + planted * p + shift * s for a, p, s in zip(all_, of_parts, of_seeds, strict=True)
    )
    return {
        s: {NAMES[p]: Architecture(alpha[s, p], beta[s, p]) for p in range(parts)}
        for s in range(seeds)
    }


def statistic_and_p(runs: dict, number: int) -> tuple[float, float]:
    """Relabel every seed, the first included, and compute each distance separately."""
    fabrics = [
        [parts_of_seed[part] for part in sorted(parts_of_seed)] for parts_of_seed in runs.values()
    ]
    parts = range(len(fabrics[0]))
    far = {
        (s, p, t, q): fabrics[s][p].distance(fabrics[t][q], SPEC)[number]
        for s, t in product(range(len(fabrics)), repeat=2)
        for p, q in product(parts, repeat=2)
    }
    statistics = []
    for orders in product(permutations(parts), repeat=len(fabrics)):
        within, between = [], []
        for (s, p), (t, q) in product(product(range(len(fabrics)), parts), repeat=2):
            if s < t:
                (within if p == q else between).append(far[s, orders[s][p], t, orders[t][q]])
        statistics.append(np.mean(between) - np.mean(within))
    return statistics[0], float(
        np.mean([statistic >= statistics[0] - 1e-9 for statistic in statistics])
    )


@pytest.mark.parametrize("seeds, parts", [(2, 2), (2, 3), (3, 3), (4, 2)])
@pytest.mark.parametrize("planted", [0.0, 0.7])
def test_the_result_equals_a_plain_loop_over_all_relabellings(seeds, parts, planted):
    runs = noise(3, seeds, parts, planted)
    for number, (kind, test) in enumerate(part_distinctness(runs, SPEC).items()):
        statistic, p = statistic_and_p(runs, number)
        assert (test.statistic, test.p) == pytest.approx(
            (statistic, p), abs=1e-6
        ) and test.kind == kind
        assert (
            test.permutations
            == len(list(permutations(range(parts)))) ** (seeds - 1)
            == round(1 / test.least_p)
        )


def test_distances_equal_those_of_the_architectures():
    runs = noise(0, 2, 2)
    arm, head = (tuple(runs[seed][part] for seed in (0, 1)) for part in ("arm", "head_part"))
    for number, test in enumerate(part_distinctness(runs, SPEC).values()):
        within = [a.distance(b, SPEC)[number] for a, b in (arm, head)]
        between = [arm[0].distance(head[1], SPEC)[number], head[0].distance(arm[1], SPEC)[number]]
        assert test.within == pytest.approx(within) and test.between == pytest.approx(between)
        assert test.statistic == pytest.approx(np.mean(between) - np.mean(within))


def test_alpha_per_cell():
    spec = FabricSpec(width=2, alpha_per_cell=True)
    runs = {
        seed: {part: Architecture.random(spec, 10 * seed + len(part)) for part in NAMES}
        for seed in range(2)
    }
    test = part_distinctness(runs, spec)["operations"]
    assert test.within[0] == pytest.approx(runs[0]["arm"].distance(runs[1]["arm"], spec)[0])


def test_planted_differences_are_detected():
    tests = part_distinctness(noise(1, 4, 3, planted=4.0), SPEC)
    for kind, test in tests.items():
        assert test.distinct and test.p == test.least_p == 1 / 216 and test.statistic > 0
        assert str(test).startswith(
            f"{kind}: parts differ more than seeds do: "
        ) and "p = 0.0046 (216 perm" in str(test)
    drawn = part_distinctness(
        noise(1, 4, 4, planted=4.0), SPEC
    )  # 13,824 relabellings: 5,000 of them
    assert [test.p for test in drawn.values()] == pytest.approx([1 / 5000, 1 / 5000], rel=2)
    assert all(test.permutations == 5000 and test.least_p == 1 / 5000 for test in drawn.values())


def test_parts_that_differ_only_in_sources():
    planted, chance = noise(2, 4, 3, planted=4.0), noise(5, 4, 3)
    runs = {
        s: {p: Architecture(chance[s][p].alpha, planted[s][p].beta) for p in planted[s]}
        for s in planted
    }
    tests = part_distinctness(runs, SPEC)
    assert tests["sources"].distinct and not tests["operations"].distinct


@pytest.mark.parametrize("most, shift", [(5000, 0.0), (5000, 1.5), (20, 0.0)])
def test_false_positives_are_as_frequent_as_p(most, shift):
    """For noise, for shifts of whole seeds, for all 36 relabellings, and for 20 drawn ones."""
    trials = 500
    tests = [
        list(part_distinctness(noise(100 + n, 3, 3, 0, shift), SPEC, most).values())
        for n in range(trials)
    ]
    for number in range(2):
        p = np.array([test[number].p for test in tests])
        for level in (0.05, 0.1, 0.25, 0.5, 0.75):
            reached = np.floor(level / tests[0][number].least_p + 1e-9) * tests[0][number].least_p
            low, high = binom.ppf([0.0005, 0.9995], trials, reached)
            assert (p <= level + 1e-9).sum() <= high  # the test is not too liberal
            assert (p <= level + 1e-9).sum() >= low  # and not too conservative


def test_drawn_relabellings_approximate_the_exact_p():
    runs = noise(7, 3, 4, planted=0.3)
    exact, drawn = (part_distinctness(runs, SPEC, most) for most in (576, 400))
    for kind in exact:
        p = exact[kind].p
        assert exact[kind].permutations == 576 and drawn[kind].permutations == 400
        assert drawn[kind].p == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 400) + 1 / 400)


@pytest.mark.parametrize("most", [5000, 30])
def test_the_order_of_seeds_and_parts_does_not_matter(most):
    runs = noise(8, 3, 4, planted=0.5)
    reordered = {seed: dict(reversed(runs[seed].items())) for seed in (2, 0, 1)}
    assert part_distinctness(runs, SPEC, most) == part_distinctness(reordered, SPEC, most)


def test_equal_architectures_give_p_of_one():
    alike = {seed: {part: Architecture.zeros(SPEC) for part in NAMES[:3]} for seed in range(3)}
    assert all(
        test.p == 1 and test.statistic == 0 for test in part_distinctness(alike, SPEC).values()
    )


def test_too_few_seeds_are_reported():
    test = part_distinctness(noise(1, 2, 3, planted=4.0), SPEC)["sources"]
    assert test.p == test.least_p == pytest.approx(1 / 6) and not test.distinct
    assert "not distinguishable from the noise of seeds" in str(
        test
    ) and "p is 0.17 at best" in str(test)


def test_incomparable_runs_are_refused():
    runs = noise(0, 2, 2)
    with pytest.raises(ValueError, match="two seeds or more; got 1"):
        part_distinctness({0: runs[0]}, SPEC)
    with pytest.raises(ValueError, match=r"seed 0 has arm, head_part; seed 1 has arm$"):
        part_distinctness({0: runs[0], 1: {"arm": runs[1]["arm"]}}, SPEC)
    with pytest.raises(ValueError, match=r"two parts or more; got arm"):
        part_distinctness({seed: {"arm": runs[seed]["arm"]} for seed in runs}, SPEC)
    other = Architecture.zeros(FabricSpec(hidden_nodes=2))
    with pytest.raises(
        ValueError,
        match=r"arm of seed 1 is no fabric of this spec: .*should be \(1, 4\) and \(6, 3\)",
    ):
        part_distinctness({0: runs[0], 1: runs[1] | {"arm": other}}, SPEC)


def test_verdicts_with_few_seeds():
    shown = Distinctness(
        "operations", (0.1,), (0.2,), 0.1, p=1 / 36, permutations=36, least_p=1 / 36
    )
    even = replace(shown, p=0.5)
    verdicts = distinctness_table({"P = 3": {"operations": shown, "sources": even}})[
        "verdict"
    ].tolist()
    assert verdicts[0].startswith("inconclusive: p is the least")
    assert verdicts[1] == "not distinguishable from the noise of seeds"
    alone = distinctness_table({"P = 3": {"operations": shown}})
    assert alone["verdict"].tolist() == ["parts differ"]
