"""Parts that are different are found, noise is not, and p is what a plain loop over all relabellings gives."""

from itertools import permutations, product

import numpy as np
import pytest
import torch
from scipy.stats import binom

from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.study.distinctness import part_distinctness

SPEC = FabricSpec(width=2)
NAMES = ("head_part", "arm", "leg", "foot")


def noise(seed: int, seeds: int, parts: int, planted: float = 0.0, shift: float = 0.0) -> dict:
    """Fabrics of chance alone; `planted` adds to each part what all its seeds share, `shift` to each seed what all its
    parts share."""
    random = torch.Generator().manual_seed(seed)

    def scores(*shape):
        return [
            torch.randn(*shape, *own, generator=random, dtype=torch.float64)
            for own in (SPEC.alpha_shape, SPEC.beta_shape)
        ]

    all_, of_parts, of_seeds = scores(seeds, parts), scores(1, parts), scores(seeds, 1)
    alpha, beta = (a + planted * p + shift * s for a, p, s in zip(all_, of_parts, of_seeds, strict=True))
    return {s: {NAMES[p]: Architecture(alpha[s, p], beta[s, p]) for p in range(parts)} for s in range(seeds)}


def statistic_and_p(runs: dict, number: int) -> tuple[float, float]:
    """By every relabelling of every seed, the first's too, and every distance by itself."""
    fabrics = [[own[part] for part in sorted(own)] for own in runs.values()]
    parts = range(len(fabrics[0]))
    far = {
        (s, p, t, q): fabrics[s][p].distance(fabrics[t][q], SPEC)[number]
        for s, t in product(range(len(fabrics)), repeat=2)
        for p, q in product(parts, repeat=2)
    }
    found = []
    for orders in product(permutations(parts), repeat=len(fabrics)):
        within, between = [], []
        for (s, p), (t, q) in product(product(range(len(fabrics)), parts), repeat=2):
            if s < t:
                (within if p == q else between).append(far[s, orders[s][p], t, orders[t][q]])
        found.append(np.mean(between) - np.mean(within))
    return found[0], float(np.mean([own >= found[0] - 1e-9 for own in found]))


@pytest.mark.parametrize("seeds, parts", [(2, 2), (2, 3), (3, 3), (4, 2)])
@pytest.mark.parametrize("planted", [0.0, 0.7])
def test_it_is_the_plain_loop_over_all_relabellings(seeds, parts, planted):
    runs = noise(3, seeds, parts, planted)
    for number, (kind, own) in enumerate(part_distinctness(runs, SPEC).items()):
        statistic, p = statistic_and_p(runs, number)
        assert (own.statistic, own.p) == pytest.approx((statistic, p), abs=1e-6) and own.kind == kind
        assert own.permutations == len(list(permutations(range(parts)))) ** (seeds - 1) == round(1 / own.least_p)


def test_the_distances_are_the_architectures():
    runs = noise(0, 2, 2)
    arm, head = (tuple(runs[seed][part] for seed in (0, 1)) for part in ("arm", "head_part"))
    for number, own in enumerate(part_distinctness(runs, SPEC).values()):
        within = [a.distance(b, SPEC)[number] for a, b in (arm, head)]
        between = [arm[0].distance(head[1], SPEC)[number], head[0].distance(arm[1], SPEC)[number]]
        assert own.within == pytest.approx(within) and own.between == pytest.approx(between)
        assert own.statistic == pytest.approx(np.mean(between) - np.mean(within))


def test_each_cell_with_an_alpha_of_its_own():
    spec = FabricSpec(width=2, alpha_per_cell=True)
    runs = {seed: {part: Architecture.random(spec, 10 * seed + len(part)) for part in NAMES} for seed in range(2)}
    found = part_distinctness(runs, spec)["operations"]
    assert found.within[0] == pytest.approx(runs[0]["arm"].distance(runs[1]["arm"], spec)[0])


def test_structure_that_belongs_to_the_parts_is_found():
    found = part_distinctness(noise(1, 4, 3, planted=4.0), SPEC)
    for kind, own in found.items():
        assert own.distinct and own.p == own.least_p == 1 / 216 and own.statistic > 0
        assert str(own).startswith(f"{kind}: parts differ more than seeds do: ") and "p = 0.0046 (216 perm" in str(own)
    drawn = part_distinctness(noise(1, 4, 4, planted=4.0), SPEC)  # 13,824 relabellings: 5,000 of them
    assert [own.p for own in drawn.values()] == pytest.approx([1 / 5000, 1 / 5000], rel=2)
    assert all(own.permutations == 5000 and own.least_p == 1 / 5000 for own in drawn.values())


def test_parts_that_are_told_apart_by_their_sources_alone():
    planted, chance = noise(2, 4, 3, planted=4.0), noise(5, 4, 3)
    runs = {s: {p: Architecture(chance[s][p].alpha, planted[s][p].beta) for p in planted[s]} for s in planted}
    found = part_distinctness(runs, SPEC)
    assert found["sources"].distinct and not found["operations"].distinct


@pytest.mark.parametrize("most, shift", [(5000, 0.0), (5000, 1.5), (20, 0.0)])
def test_noise_is_taken_for_structure_no_more_often_than_p_says(most, shift):
    """Of chance alone, and where a seed moves all its parts together; by all 36 relabellings, and by 20 drawn ones."""
    trials = 500
    found = [list(part_distinctness(noise(100 + n, 3, 3, 0, shift), SPEC, most).values()) for n in range(trials)]
    for number in range(2):
        p = np.array([own[number].p for own in found])
        for level in (0.05, 0.1, 0.25, 0.5, 0.75):
            reached = np.floor(level / found[0][number].least_p + 1e-9) * found[0][number].least_p
            low, high = binom.ppf([0.0005, 0.9995], trials, reached)
            assert (p <= level + 1e-9).sum() <= high  # no more often than it says
            assert (p <= level + 1e-9).sum() >= low  # nor is the test a silent one


def test_drawn_relabellings_give_about_the_p_of_all():
    runs = noise(7, 3, 4, planted=0.3)
    exact, drawn = (part_distinctness(runs, SPEC, most) for most in (576, 400))
    for kind in exact:
        p = exact[kind].p
        assert exact[kind].permutations == 576 and drawn[kind].permutations == 400
        assert drawn[kind].p == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 400) + 1 / 400)


@pytest.mark.parametrize("most", [5000, 30])
def test_the_order_of_seeds_and_parts_is_nothing(most):
    runs = noise(8, 3, 4, planted=0.5)
    turned = {seed: dict(reversed(runs[seed].items())) for seed in (2, 0, 1)}
    assert part_distinctness(runs, SPEC, most) == part_distinctness(turned, SPEC, most)


def test_nothing_searched_is_nothing_found():
    alike = {seed: {part: Architecture.zeros(SPEC) for part in NAMES[:3]} for seed in range(3)}
    assert all(own.p == 1 and own.statistic == 0 for own in part_distinctness(alike, SPEC).values())


def test_a_design_too_small_to_tell_says_so():
    found = part_distinctness(noise(1, 2, 3, planted=4.0), SPEC)["sources"]
    assert found.p == found.least_p == pytest.approx(1 / 6) and not found.distinct
    assert "not distinguishable from the noise of seeds" in str(found) and "p is 0.17 at best" in str(found)


def test_runs_that_cannot_be_compared():
    runs = noise(0, 2, 2)
    with pytest.raises(ValueError, match="two seeds or more; got 1"):
        part_distinctness({0: runs[0]}, SPEC)
    with pytest.raises(ValueError, match=r"seed 0 has arm, head_part; seed 1 has arm$"):
        part_distinctness({0: runs[0], 1: {"arm": runs[1]["arm"]}}, SPEC)
    with pytest.raises(ValueError, match=r"one part alone \(arm\)"):
        part_distinctness({seed: {"arm": runs[seed]["arm"]} for seed in runs}, SPEC)
    other = Architecture.zeros(FabricSpec(hidden_nodes=2))
    with pytest.raises(ValueError, match=r"arm of seed 1 is no fabric of this spec: .*should be \(1, 4\) and \(6, 3\)"):
        part_distinctness({0: runs[0], 1: runs[1] | {"arm": other}}, SPEC)
