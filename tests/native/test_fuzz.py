"""Random steps: right to their rounding, alike on every path, and within bounds.

MEMENTUM_FUZZ sets the number of cases. A failure names its case; `case(number)` draws
it again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.native import bounds, memory
from tests.native.cases import MOMENTS, Case, Operand, Options, Subject, case
from tests.native.memory import Plot
from torch import Tensor

from mementum.family.reference import State
from mementum.family.rule import Coefficients
from mementum.torch import FamilyOptimizer

CASES = int(os.environ.get("MEMENTUM_FUZZ", "2000"))
CHUNK = 50
# Options of an optimizer as a whole.
SHARED = ("maximize", "state_dtype", "stochastic_rounding", "seed")


class Run:
    """A case under way: its optimizer, and the memory of all its tensors."""

    def __init__(self, case: Case, number: int, *, plotted: bool, **flags: Any) -> None:
        self.case, self.plotted = case, plotted
        self.rng = np.random.default_rng(number)
        self.plots: list[Plot] = []
        self.lent: list[Plot] = []
        self.params: list[list[Tensor]] = []
        groups = []
        for options, subjects in zip(case.options, case.groups, strict=True):
            params = [self.lay(subject.param).requires_grad_() for subject in subjects]
            self.params.append(params)
            groups.append({"params": params, **options})
        for group in groups:
            shared = {name: group.pop(name) for name in SHARED if name in group}
        self.optimizer: FamilyOptimizer = case.member(groups, **shared, **flags)
        for param, subject in self:
            self.begin(param, subject)

    def __iter__(self) -> Iterator[tuple[Tensor, Subject]]:
        for params, subjects in zip(self.params, self.case.groups, strict=True):
            yield from zip(params, subjects, strict=True)

    def lay(self, operand: Operand, *, lent: bool = False) -> Tensor:
        if not self.plotted:
            return operand.values.clone(memory_format=torch.contiguous_format)
        plot = memory.plot(operand.values, operand.layout, self.rng)
        (self.lent if lent else self.plots).append(plot)
        return plot.tensor

    def begin(self, param: Tensor, subject: Subject) -> None:
        if subject.moments:
            moments = {name: self.lay(of) for name, of in subject.moments.items()}
            self.optimizer.state[param] = {"step": subject.steps_taken, **moments}

    def step(self, index: int) -> None:
        self.lent = []
        for param, subject in self:
            grad = subject.grads[index]
            param.grad = None
            if grad is not None:
                if grad.values.dtype != param.dtype:
                    param.grad_dtype = grad.values.dtype
                param.grad = self.lay(grad, lent=True)
        self.optimizer.step()

    def untouched(self) -> bool:
        """Whether nothing changed but the parameters and their moments."""
        return all(plot.others_untouched() for plot in self.plots) and all(
            plot.untouched() for plot in self.lent
        )

    def standing(self) -> list[dict[str, Any]]:
        """Return copies of all that a step may change."""
        copies = []
        for param, _ in self:
            kept = {"param": param.detach(), **self.optimizer.state.get(param, {})}
            copies.append(
                {k: v.clone() if isinstance(v, Tensor) else v for k, v in kept.items()}
            )
        return copies


@pytest.mark.parametrize("first", range(0, CASES, CHUNK))
def test_a_random_case_is_the_reference_and_the_loop(first: int) -> None:
    checked = elements = 0
    for number in range(first, min(first + CHUNK, CASES)):
        drawn = case(number)
        ours = Run(drawn, number, plotted=True)
        loop = Run(drawn, number, plotted=False, foreach=False)
        others = [loop]
        if number % 4 == 0:
            others.append(Run(drawn, number, plotted=False, foreach=True))
        for index in range(drawn.steps):
            before = ours.standing()
            for run in (ours, *others):
                run.step(index)
            after = ours.standing()
            where = f"case {number}, step {index + 1} of {drawn.steps}"
            assert ours.untouched(), f"{where}: wrote where it must not"
            for other in others:
                assert_same_bits(after, other.standing(), where)
            if _teaches_nothing(drawn, index, before):
                assert all(new["step"] == 0 for new in after if "step" in new), where
                _hold_params(before, after, where)
                continue
            if drawn.noisy:
                continue
            found = _hold_to_reference(drawn, index, before, after, where)
            checked, elements = checked + found[0], elements + found[1]
    # What overflows, or is NaN, is held to the loop alone; that is the lesser part.
    assert checked > 0.4 * elements


def _teaches_nothing(drawn: Case, index: int, before: list[dict[str, Any]]) -> bool:
    """Whether a first step is a rehearsal: every lr and every gradient is zero."""
    grads = [subject.grads[index] for group in drawn.groups for subject in group]
    held = [grad.values for grad in grads if grad is not None]
    rates = [options.get("lr", drawn.member.recipe.lr) for options in drawn.options]
    begun = any("step" in standing for standing in before)
    return not (begun or any(rates) or any(map(torch.any, held))) and bool(held)


def _hold_params(
    before: list[dict[str, Any]], after: list[dict[str, Any]], where: str
) -> None:
    params = [[{"param": each["param"]} for each in side] for side in (before, after)]
    assert_same_bits(*params, where)


def assert_same_bits(
    a: list[dict[str, Any]], b: list[dict[str, Any]], where: str
) -> None:
    """Refuse standings that differ in a bit; any NaN is any other."""
    for i, (one, other) in enumerate(zip(a, b, strict=True)):
        assert one.keys() == other.keys(), where
        for name, value in one.items():
            expected = other[name]
            if not isinstance(value, Tensor):
                assert value == expected, f"{where}: {name} of parameter {i}"
                continue
            x, y = bits(value), bits(expected)
            wrong = (x != y).sum()
            assert not wrong, (
                f"{where}: {name} of parameter {i}, {value.dtype}, "
                f"{tuple(value.shape)}: "
                f"{wrong} of {x.size} differ"
            )


def bits(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Return a tensor's elements as integers, each NaN as the same one."""
    plain = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    if not plain.is_floating_point():
        return plain.numpy()
    plain = plain.contiguous().clone()
    plain[plain.isnan()] = math.nan
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[plain.element_size()]
    return plain.view(integer).numpy()


def _hold_to_reference(
    drawn: Case,
    index: int,
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    where: str,
) -> tuple[int, int]:
    """Compare a step with the reference; return elements compared, and all."""
    standings = iter(zip(before, after, strict=True))
    checked = elements = 0
    for options, subjects in zip(drawn.options, drawn.groups, strict=True):
        for subject in subjects:
            old, new = next(standings)
            grad = subject.grads[index]
            if grad is None:
                assert_same_bits([old], [new], where)
                continue
            assert new["step"] == 1 + old.get("step", 0), where
            c, peak = numbers(drawn, options, new["step"])
            expected, errors = bounds.step(
                c,
                real(grad.values),
                _state(old),
                peak=peak,
                moments=_kind(new["momentum"]),
                parameter=_kind(new["param"]),
                gradient=_kind(grad.values),
            )
            parts = zip(State._fields, _state(new), expected, errors, strict=True)
            for name, found, right, bound in parts:
                with np.errstate(invalid="ignore"):
                    wrong = abs(found - right) > bound
                    wrong |= ~np.isfinite(found) & np.isfinite(bound)
                assert not wrong.any(), (
                    f"{where}: {name} is {found[wrong][0]!r}, the reference has "
                    f"{right[wrong][0]!r}, within {bound[wrong][0]!r}"
                )
            checked += int(np.isfinite(errors.p).sum())
            elements += errors.p.size
    return checked, elements


def numbers(drawn: Case, options: Options, t: int) -> tuple[Coefficients, bool]:
    """Return the numbers of a step, and whether the rule keeps its peak."""
    recipe = drawn.member.recipe
    defaults = recipe.defaults
    rule = recipe.rule(defaults | {k: v for k, v in options.items() if k in defaults})
    c = rule.at(t, options.get("lr", recipe.lr))
    return c._replace(scale=-1.0 if options["maximize"] else 1.0), rule.peak


def _state(standing: dict[str, Any]) -> State:
    zeros = torch.zeros_like(standing["param"])
    moments = (standing.get(name, zeros) for name in MOMENTS)
    return State(real(standing["param"]), *map(real, moments))


def real(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    plain = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return plain.detach().double().numpy().reshape(plain.shape)


def _kind(tensor: Tensor) -> torch.dtype:
    return tensor.dtype.to_real() if tensor.is_complex() else tensor.dtype
