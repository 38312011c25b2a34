"""A rule as equations and numbers, for people."""

from __future__ import annotations

import textwrap
from typing import Any

from mementum.family.memory import Average, Fixed, Memory
from mementum.family.recipes import Recipe
from mementum.family.rule import Rule, SquareOf

_STEPS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
_SQUARED = {
    SquareOf.GRADIENT: "g^2",
    SquareOf.MOMENTUM: "m^2",
    SquareOf.RESIDUAL: "(g - m)^2",
}


def page(recipe: Recipe, rule: Rule, lr: float, step: int) -> str:
    """Return what a recipe does: its equations, its memory, its numbers at a step."""
    return "\n\n".join(
        [
            title(recipe),
            equations(rule),
            _memory_table(rule.square),
            numbers(rule, lr, step),
        ]
    )


def data(recipe: Recipe, rule: Rule, lr: float, step: int) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "source": recipe.paper,
        "hyperparameters": {"lr": lr, **recipe.defaults},
        "equations": [line.strip() for line in equations(rule).splitlines()],
        "memory": [{"step": t, "weight": rule.square.weight(t)} for t in _STEPS],
        "step": step,
        "numbers": rule.at(step, lr)._asdict(),
    }


def title(recipe: Recipe) -> str:
    """Return an optimizer's name and sentence, and where it was published."""
    sentence = textwrap.fill(f"{recipe.name}: {recipe.summary}", 80)
    return f"{sentence}\nSource: {recipe.paper}"


def equations(rule: Rule) -> str:
    """Return a rule's equations, one to a line, in the order of the computation."""
    kept = "k" if rule.peak else "v"
    shrink = f"lr {rule.weight_decay:g} p + " if _shrinks(rule) else ""
    pull = f" + {rule.weight_decay:g} p" if _pulls(rule) else ""
    squared = _SQUARED[rule.square_of] + (f" + {rule.eps_in:g}" if rule.eps_in else "")
    momentum = _debiased("m", rule.momentum) if rule.debias_momentum else "m"
    square = _debiased(kept, rule.square) if rule.debias_square else kept
    under = square + (f" + {rule.eps_root:g}" if rule.eps_root else "")
    divisor = f"sqrt({under})" + (f" + {rule.eps_out:g}" if rule.eps_out else "")
    if rule.eps_out:
        divisor = f"({divisor})"
    lines = [
        f"g  = grad{pull}",
        f"m += {_weight(rule.momentum)} (g - m)",
        f"v += {_weight(rule.square)} ({squared} - v)",
        "k  = max(k, v)" if rule.peak else "",
        f"p -= {shrink}lr {momentum} / {divisor}",
        _closed_form(rule.square),
    ]
    return "\n".join(f"    {line}" for line in lines if line)


def _memory_table(average: Average) -> str:
    """Return the weight of the newest square at a few steps, and that times t."""
    if isinstance(average, Fixed):
        return (
            f"The newest square always weighs {average.weight(1):g} in the average,\n"
            "which starts at zero and is not corrected for that."
        )
    rows = [
        "What the newest square weighs in the average; times t, an average of all",
        "squares alike gives 1, a shorter memory more, a growing one less:",
        f"{'step t':>12}  {'weight':>14}  {'times t':>10}",
    ]
    for t in _STEPS:
        weight = average.weight(t)
        rows.append(f"{t:>12,}  {weight:>14.6g}  {weight * t:>10.4g}")
    return "\n".join(rows)


def numbers(rule: Rule, lr: float, step: int) -> str:
    """Return the twelve numbers a kernel is told at a step."""
    named = rule.at(step, lr)._asdict().items()
    cells = [f"{name:>8} {float(value):<13.6g}" for name, value in named]
    rows = ["  ".join(cells[i : i + 3]).rstrip() for i in range(0, len(cells), 3)]
    return "\n".join([f"The numbers of step {step:,} at lr {lr:g}:", *rows])


def _weight(average: Average) -> str:
    return f"{average.weight(1):g}" if isinstance(average, Fixed) else "w(t)"


def _debiased(letter: str, average: Average) -> str:
    if isinstance(average, Fixed):
        return f"{letter} / (1 - {average.beta:g}^t)"
    return letter


def _closed_form(average: Average) -> str:
    if not isinstance(average, Memory):
        return ""
    if average.log_ratio == 0:
        return "w(t) = 1 / t"
    return f"w(t) = expm1(L) / expm1(t L), L = {average.log_ratio:.6g}"


def _pulls(rule: Rule) -> bool:
    return bool(rule.weight_decay) and not rule.decoupled


def _shrinks(rule: Rule) -> bool:
    return bool(rule.weight_decay) and rule.decoupled
