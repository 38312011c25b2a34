"""Contrasts on fresh seeds, looked at a few times that were fixed in the plan.

The level alpha is split evenly over the looks, and at each look Holm's procedure runs
over the contrasts of a task that are still open, with that share of alpha. A contrast
that is decided, either way, is settled: it leaves the family and needs no more seeds.
By closed testing the chance of any wrong verdict within a task, over all looks, is at
most alpha: an intersection of k hypotheses is tested at alpha / k over the looks
together, and whoever left the family was rejected in all intersections before.

A look is made once every open contender and the reference have a record for each of its
seeds. What was run beyond the last such look waits for the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mementum.lab.records.plan import Design
from mementum.lab.statistics.choice import Choice
from mementum.lab.statistics.verdicts import ALPHA, Contrast, Verdict, compare


def contrasts(
    choices: Sequence[Choice],
    reference: Choice,
    design: Design,
    *,
    margin: float,
    alpha: float = ALPHA,
) -> tuple[Contrast, ...]:
    """Return each choice's contrast with the reference, as far as looks were made.

    `choices` leaves the reference out. `margin` is on the task's scale.
    """
    share = alpha / len(design.looks)
    found: dict[str, Contrast] = {}
    left = [each for each in choices if not each.hopeless]
    for look in range(1, len(design.looks) + 1):
        seeds = design.judging(look)
        if not left or not all(_has(each, seeds) for each in (*left, reference)):
            break
        holed = _holed(left, reference, seeds)
        judged = compare(
            [_upto(each, seeds) for each in left],
            _upto(reference, seeds),
            margin=margin,
            deterministic=False,
            alpha=share,
            barred=holed,
        )
        for each in judged:
            sure = each.contender not in holed
            found[each.contender] = _settled(
                each, look, design, alpha, sure=sure, many=len(left)
            )
        left = [each for each in left if is_open(found[each.contender])]
    for each in _unjudged([c for c in choices if c.contender not in found], reference):
        found[each.contender] = replace(each, margin=margin)
    return tuple(found[each.contender] for each in choices)


def _settled(
    contrast: Contrast,
    look: int,
    design: Design,
    alpha: float,
    *,
    sure: bool,
    many: int,
) -> Contrast:
    """Return a contrast as a look leaves it.

    Where runs failed nothing is decided, as they may be those that would have told
    otherwise. Divergences alone decide by the sign test, at Bonferroni's level. The
    adjusted p counts the looks too, so that it is compared with alpha.
    """
    p, verdict = contrast.p_holm, contrast.verdict
    by_divergence = p is None and verdict in (Verdict.BETTER, Verdict.WORSE)
    pairs = contrast.pairs
    signs = max(pairs.only_contender_diverged, pairs.only_reference_diverged)
    if by_divergence and 2 * 0.5**signs > alpha / len(design.looks) / many:
        verdict = Verdict.INCONCLUSIVE
    if not sure and verdict is not Verdict.FAILED:
        verdict = Verdict.INCONCLUSIVE
    return replace(
        contrast,
        verdict=verdict,
        look=look,
        interval=pairs.interval(1 - alpha),
        p_holm=None if p is None else min(1.0, p * len(design.looks)),
    )


def _holed(choices: Sequence[Choice], reference: Choice, seeds: range) -> set[str]:
    """Return whose contrast lacks a run of these seeds, as it failed."""

    def whole(choice: Choice) -> bool:
        return all(s.value is not None for s in choice.scored if s.seed in seeds)

    sure = whole(reference)
    return {each.contender for each in choices if not (sure and whole(each))}


def is_open(contrast: Contrast) -> bool:
    """Return whether more seeds may still decide a contrast."""
    return contrast.verdict is Verdict.INCONCLUSIVE


def _has(choice: Choice, seeds: range) -> bool:
    """Return whether a choice has a record for each of these seeds."""
    return {*seeds} <= {scored.seed for scored in choice.scored}


def _upto(choice: Choice, seeds: range) -> Choice:
    """Return the choice on these seeds alone."""
    return replace(choice, scored=tuple(s for s in choice.scored if s.seed in seeds))


def _unjudged(choices: Sequence[Choice], reference: Choice) -> tuple[Contrast, ...]:
    """Return the contrasts before any look: what is known so far, and no verdict."""
    begun = {each.contender for each in choices if each.tried.values}
    found = compare(choices, reference, margin=0.0, deterministic=False)
    return tuple(
        replace(each, verdict=Verdict.INCONCLUSIVE, p=None, p_holm=None)
        if each.contender in begun
        else each
        for each in found
    )
