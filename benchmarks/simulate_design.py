"""How often two stages err, what they find, and with how many seeds: by simulation.

    python benchmarks/simulate_design.py [--repeats 2000]

Scores are normal. Contenders have five rates, whose luck of a seed has a correlation;
pilot, looks and verdicts are the lab's own. A wrong verdict is one that the truth at
the chosen rates contradicts. With a margin of 0 every "better" or "worse" of equal
contenders is wrong, which is the hardest case.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mementum.lab.planning.tiers import SPENDING
from mementum.lab.records.plan import Design
from mementum.lab.statistics import Choice, Grid, Scored, Verdict
from mementum.lab.statistics.sequential import looks, pilot
from mementum.lab.tasks.task import Tier

DESIGN = SPENDING[Tier.QUICK].design(5, 0, None)
RATES = (1.0, 2.0, 3.0, 4.0, 5.0)


@dataclass
class Tally:
    """What so many simulated tasks came to."""

    tasks: int = 0
    wrong: int = 0
    """Tasks with any wrong verdict."""
    different: int = 0
    found: int = 0
    """Different contenders, and those that were called so."""
    seeds: float = 0.0
    """Fresh seeds of a contrast, summed over contrasts."""
    contrasts: int = 0
    regret: float = 0.0
    foretold: float = 0.0
    """The true regret of the chosen rates, and the estimated one."""

    @property
    def level(self) -> float:
        return self.wrong / self.tasks

    @property
    def error(self) -> float:
        """The standard error of a level of 5 %."""
        return math.sqrt(0.05 * 0.95 / self.tasks)


def chosen(
    rng: np.random.Generator,
    means: Sequence[float],
    correlation: float,
    spread: float,
    design: Design,
    name: str,
) -> tuple[Choice, float, float]:
    """A contender through its pilot: choice, true mean, estimated regret."""
    seeds = design.first + design.looks[-1]
    common = rng.normal(size=(1, seeds)) * math.sqrt(correlation)
    own = rng.normal(size=(len(means), seeds)) * math.sqrt(1 - correlation)
    table = np.asarray(means)[:, None] + spread * (common + own)
    values = {
        (lr, seed): float(table[i, seed])
        for i, lr in enumerate(RATES[: len(means)])
        for seed in range(seeds)
    }
    own_seeds = tuple(range(design.first))
    tried = Grid(
        RATES[: len(means)],
        own_seeds,
        {key: value for key, value in values.items() if key[1] < design.first},
    )
    lr = pilot.follow(design, tried, set(values)).chosen
    assert lr is not None
    fresh = design.judging(len(design.looks))
    choice = Choice(
        contender=name,
        grid=Grid((lr,), tuple(fresh), {(lr, s): values[lr, s] for s in fresh}),
        scored=tuple(Scored(seed=s, lr=lr, value=values[lr, s]) for s in fresh),
        in_sample=False,
        pilot=tried,
    )
    return choice, means[RATES.index(lr)], pilot.regret(design, tried, lr) or 0.0


def simulate(
    effects: Sequence[float],
    *,
    repeats: int,
    rates: Sequence[float] = (0.0,) * 5,
    correlation: float = 0.5,
    margin: float = 0.0,
    design: Design = DESIGN,
    seed: int = 0,
) -> Tally:
    """Contenders with these true effects, in standard deviations of a difference.

    `rates` are what the rates of everyone cost beside the best of them.
    """
    rng = np.random.default_rng(seed)
    tally = Tally()
    spread = math.sqrt(0.5)
    for _ in range(repeats):
        first, base, _ = chosen(rng, rates, correlation, spread, design, "reference")
        choices, truths = [], []
        for i, effect in enumerate(effects):
            means = [effect + cost for cost in rates]
            choice, truth, told = chosen(
                rng, means, correlation, spread, design, f"{i}"
            )
            choices.append(choice)
            truths.append(truth - base)
            tally.regret += truth - effect - min(rates)
            tally.foretold += told
        found = looks.contrasts(choices, first, design, margin=margin)
        count(tally, found, truths, margin, design)
    return tally


def count(
    tally: Tally,
    found: Sequence[looks.Contrast],
    truths: Sequence[float],
    margin: float,
    design: Design,
) -> None:
    """Count the verdicts of one task."""
    tally.tasks += 1
    tally.wrong += any(
        wrong(each.verdict, truth, margin)
        for each, truth in zip(found, truths, strict=True)
    )
    for each, truth in zip(found, truths, strict=True):
        tally.contrasts += 1
        tally.seeds += design.looks[each.look - 1]
        if abs(truth) > margin:
            tally.different += 1
            tally.found += each.verdict in (Verdict.BETTER, Verdict.WORSE)


def wrong(verdict: Verdict, truth: float, margin: float) -> bool:
    """Whether the truth contradicts a verdict."""
    if verdict is Verdict.BETTER:
        return truth >= -margin
    if verdict is Verdict.WORSE:
        return truth <= margin
    return verdict is Verdict.EQUIVALENT and abs(truth) > margin


EQUAL = (0.0,) * 8
MIXED = (0.0, 0.0, 0.0, 0.0, 3.0, 3.0, -3.0, 1.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    repeats = parser.parse_args().repeats
    print("| contenders | correlation of rates | any wrong verdict |")
    print("|---|---|---|")
    for words, effects in (("8 equal", EQUAL), ("4 equal, 4 different", MIXED)):
        for correlation in (0.0, 0.5, 0.8):
            tally = simulate(effects, repeats=repeats, correlation=correlation)
            level, error = 100 * tally.level, 100 * tally.error
            print(f"| {words} | {correlation:g} | {level:.1f} +- {error:.1f} % |")
    print()
    print("| true difference, sd | found by 64 seeds | seeds of a contrast |")
    print("|---|---|---|")
    for effect in (0.25, 0.5, 1.0, 1.5, 2.0):
        tally = simulate((effect,) * 8, repeats=repeats // 4)
        share, mean = 100 * tally.found / tally.different, tally.seeds / tally.contrasts
        print(f"| {effect:g} | {share:.0f} % | {mean:.1f} |")
    print()
    print("| cost of the other rates, sd | true regret, sd | estimated |")
    print("|---|---|---|")
    for cost in (0.1, 0.3, 1.0, 3.0):
        rates = (4 * cost, cost, 0.0, cost, 4 * cost)
        tally = simulate(EQUAL, repeats=repeats // 10, rates=rates)
        true, told = (x / tally.contrasts for x in (tally.regret, tally.foretold))
        print(f"| {cost:g} | {true:.3f} | {told:.3f} |")


if __name__ == "__main__":
    main()
