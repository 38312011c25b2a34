"""Laws of two stages: levels hold, looks settle, noise foretells."""

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.simulate_design import EQUAL, MIXED, simulate
from scipy import stats

from mementum.lab.records.plan import Design
from mementum.lab.statistics import Choice, Contrast, Grid, Scored, Verdict
from mementum.lab.statistics.sequential import looks, noise, pilot

DESIGN = Design(pilot=((0, 1), (2, 2)), looks=(4, 8, 16))
MARGIN = math.log(1.01)


def choice(name: str, values: list[float | None], first: int = DESIGN.first) -> Choice:
    """A contender at its chosen rate: one score for each fresh seed, None: it failed."""
    seeds = range(first, first + len(values))
    found = {(1.0, s): v for s, v in zip(seeds, values, strict=True) if v is not None}
    return Choice(
        contender=name,
        grid=Grid((1.0,), tuple(seeds), found),
        scored=tuple(Scored(seed=s, lr=1.0, value=found.get((1.0, s))) for s in seeds),
        in_sample=False,
        pilot=Grid((1.0,), (0,), {(1.0, 0): 0.0}),
    )


def drawn(mean: float, spread: float, count: int, seed: int = 0) -> list[float | None]:
    rng = np.random.default_rng(seed)
    return [*(mean + spread * rng.standard_normal(count)).tolist()]


def judged(mean: float, spread: float, count: int, seed: int = 0) -> Contrast:
    (found,) = looks.contrasts(
        [choice("it", drawn(mean, spread, count, seed))],
        choice("reference", [0.0] * count),
        DESIGN,
        margin=MARGIN,
    )
    return found


@pytest.mark.parametrize("correlation", [0.0, 0.8])
@pytest.mark.parametrize("effects", [EQUAL, MIXED], ids=["equal", "mixed"])
def test_any_wrong_verdict_of_a_task_is_as_rare_as_the_level(
    effects: tuple[float, ...], correlation: float
) -> None:
    # Wrong with probability 5 % at most; three standard errors above that is chance.
    tally = simulate(effects, repeats=200, correlation=correlation)
    assert tally.level <= 0.05 + 3 * tally.error
    if effects is MIXED:
        assert tally.found >= 0.95 * tally.different


def test_more_is_found_with_fewer_seeds_the_larger_the_difference() -> None:
    shares, seeds = [], []
    for effect in (0.25, 0.5, 1.0, 2.0):
        tally = simulate((effect,) * 4, repeats=60)
        shares.append(tally.found / tally.different)
        seeds.append(tally.seeds / tally.contrasts)
    assert shares == sorted(shares)
    assert seeds == sorted(seeds, reverse=True)
    assert shares[-1] == 1


@pytest.mark.parametrize("cost", [0.1, 1.0])
def test_the_estimated_regret_bounds_the_true_one(cost: float) -> None:
    rates = (4 * cost, cost, 0.0, cost, 4 * cost)
    tally = simulate(EQUAL, repeats=60, rates=rates)
    assert tally.regret <= tally.foretold + 0.05 * tally.contrasts


def test_a_settled_contrast_keeps_its_verdict_whatever_comes_later() -> None:
    early = judged(-0.5, 0.05, 4)
    assert (early.verdict, early.look) == (Verdict.BETTER, 1)
    values = drawn(-0.5, 0.05, 4) + [5.0] * 12
    (late,) = looks.contrasts(
        [choice("it", values)], choice("reference", [0.0] * 16), DESIGN, margin=MARGIN
    )
    assert late == early


@pytest.mark.parametrize("count", [1, 3, 5, 7, 15])
def test_what_lies_beyond_the_last_look_waits(count: int) -> None:
    found = judged(0.1, 1.0, count)
    made = max((n for n in DESIGN.looks if n <= count), default=0)
    assert found.look == (DESIGN.looks.index(made) + 1 if made else 0)
    assert found.verdict is Verdict.INCONCLUSIVE
    if made:
        assert len(found.pairs.differences) == made


def test_the_level_is_shared_by_looks_and_by_who_is_open() -> None:
    others = [
        choice("clear", drawn(-5.0, 0.05, 4)),
        choice("one", drawn(0.0, 1.0, 16, 1)),
        choice("two", drawn(0.0, 1.0, 16, 2)),
    ]
    reference = choice("reference", [0.0] * 16)
    clear, one, two = looks.contrasts(others, reference, DESIGN, margin=MARGIN)
    assert clear.look == 1
    assert clear.verdict_interval.level == pytest.approx(1 - 0.05 / 3 / 3)
    assert clear.interval.level == pytest.approx(0.95)
    assert clear.p_holm == pytest.approx(min(1.0, 3 * 3 * clear.p))
    # Two are left at the later looks, and share that look's part.
    for each in (one, two):
        assert each.look == 3
        assert each.verdict_interval.level == pytest.approx(1 - 0.05 / 3 / 2)


def test_who_never_has_a_result_takes_nobody_elses_verdict() -> None:
    nobody = replace(choice("late", []), hopeless=True, pilot=Grid((1.0,), (0,), {}))
    clear = choice("clear", drawn(-5.0, 0.05, 4))
    late, other = looks.contrasts(
        [nobody, clear], choice("reference", [0.0] * 4), DESIGN, margin=MARGIN
    )
    assert late.verdict is Verdict.FAILED
    assert other.verdict is Verdict.BETTER


def test_divergences_alone_decide_by_the_sign_test() -> None:
    for count, verdict in ((4, "inconclusive"), (8, "worse")):
        design = replace(DESIGN, looks=(count,))
        (found,) = looks.contrasts(
            [choice("it", [math.inf] * count)],
            choice("reference", [0.0] * count),
            design,
            margin=MARGIN,
        )
        assert found.verdict.value == verdict


def test_a_rate_without_results_is_ranked_after_one_that_diverged() -> None:
    values = {(1.0, 0): math.inf, (2.0, 0): 0.5}
    tried = Grid((1.0, 2.0, 3.0), (0,), values)
    over = {(lr, seed) for lr in tried.lrs for seed in range(3)}
    standing = pilot.follow(DESIGN, tried, over)
    assert standing.going == (1.0, 2.0)


def test_failed_runs_complete_a_look_and_missing_ones_do_not() -> None:
    reference = choice("reference", [0.0] * 4)
    some = choice("it", [None, *drawn(-5.0, 0.05, 3)])
    (found,) = looks.contrasts([some], reference, DESIGN, margin=MARGIN)
    assert (found.look, len(found.pairs.differences)) == (1, 3)
    # The failed one may be the one that would have told otherwise.
    assert found.verdict is Verdict.INCONCLUSIVE
    fewer = replace(some, scored=some.scored[1:])
    (found,) = looks.contrasts([fewer], reference, DESIGN, margin=MARGIN)
    assert (found.look, found.verdict) == (0, Verdict.INCONCLUSIVE)


def test_whose_runs_failed_counts_among_those_that_are_not_rejected() -> None:
    # Alone it would be decided, and of two it is not, unless the other one is.
    noise_of_four = np.array([-3.0, -1.0, 1.0, 3.0])
    error = noise_of_four.std(ddof=1) / 2
    p = 0.75 * 0.05 / len(DESIGN.looks)
    mean = -(MARGIN + error * float(stats.t.isf(p / 2, 3)))
    near = choice("near", [*(mean + noise_of_four).tolist()])
    reference = choice("reference", [0.0] * 4)
    (alone,) = looks.contrasts([near], reference, DESIGN, margin=MARGIN)
    assert alone.verdict is Verdict.BETTER
    clear = drawn(-500.0, 0.05, 4)
    for values, verdict in (
        (clear, Verdict.BETTER),
        ([None, *clear[1:]], Verdict.INCONCLUSIVE),
    ):
        others = [choice("clear", values), near]
        first, second = looks.contrasts(others, reference, DESIGN, margin=MARGIN)
        assert (first.verdict, second.verdict) == (verdict, verdict)


@pytest.mark.parametrize(
    ("spread", "effect", "equal"),
    [(0.0055, (4, 6), (4, 6)), (0.0077, (6, 9), (7, 9)), (0.022, (38, 44), (48, 60))],
)
def test_the_noise_card_counts_seeds_as_power_does(
    spread: float, effect: tuple[int, int], equal: tuple[int, int]
) -> None:
    card = noise.of_spread(spread, MARGIN)
    assert effect[0] <= card.effect <= effect[1]
    assert equal[0] <= card.equal <= equal[1]
    assert card.ranks


def test_a_task_with_much_noise_cannot_see_two_per_cent() -> None:
    assert not noise.of_spread(0.3, MARGIN).ranks


@pytest.mark.parametrize("mean", [0.03, -0.2, 0.0])
def test_the_seeds_asked_for_decide_most_open_contrasts(mean: float) -> None:
    decided, asked = 0, 0
    one_look = replace(DESIGN, looks=(4, 4096))
    for seed in range(40):
        values = drawn(mean, 0.1, 4096, seed)
        reference = choice("reference", [0.0] * 4096)
        first = choice("it", values[:4])
        (found,) = looks.contrasts([first], reference, one_look, margin=MARGIN)
        if found.verdict is not Verdict.INCONCLUSIVE:
            continue
        # With the true mean and spread in the place of the estimates of four seeds.
        level = found.verdict_interval.level
        known = replace(
            found.pairs,
            differences=tuple(
                (s, mean + 0.1 * (-1) ** s * math.sqrt(3 / 4)) for s in range(4)
            ),
        )
        more = noise.more_seeds(replace(found, pairs=known), level)
        assert more is not None
        asked += 1
        single = replace(DESIGN, looks=(more + 4,))
        share = replace(single, looks=(more + 4, 10**6))
        (later,) = looks.contrasts(
            [choice("it", values[: more + 4])], reference, share, margin=MARGIN
        )
        decided += later.verdict is not Verdict.INCONCLUSIVE
    assert asked >= 10
    # 0.8 by construction; three standard errors below that is chance.
    assert decided / asked >= 0.8 - 3 * math.sqrt(0.8 * 0.2 / asked)


def test_a_single_rate_needs_no_pilot() -> None:
    standing = pilot.follow(DESIGN, Grid((0.1,), (), {}), set())
    assert standing == ((0.1,), (), 0.1)
