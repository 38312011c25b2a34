"""One step of each class on each path, beside the definition of correct."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import Parameter

from mementum.bench.entrant import CLASSES, FORMATS, built
from mementum.family.reference import State, update
from mementum.torch.backends.triton import availability

# How to ask for each path.
PATHS: dict[str, dict[str, bool]] = {
    # Triton's, where its interpreter takes the CPU.
    "triton" if availability.is_interpreted() else "native": {"fused": True},
    "foreach": {"foreach": True},
    "loop": {"foreach": False},
}
# Large enough for blocks of scales, and no multiple of any vector's width.
_SHAPE = (67, 83)
# Units in the last place of the largest number that an addition meets. A moment is the
# end of four roundings at most, each of half a unit; a parameter of one, and a step so
# short beside it that its own error is a small part of a unit.
ALLOWED = 2.0


class Result(NamedTuple):
    """How a class fared: each path's error, and whether a format's paths are alike.

    An error is the largest of parameters and moments, in units in the last place, or
    the sentence with which the path failed.
    """

    name: str
    errors: Mapping[str, float | str]
    alike: Mapping[str, bool]

    @property
    def right(self) -> bool:
        """Whether every path is right, and as every other."""
        near = (
            not isinstance(error, str) and error <= ALLOWED
            for error in self.errors.values()
        )
        return all(near) and all(self.alike.values())


def examine(*, kernel: bool) -> Iterator[Result]:
    """Yield a result for each class; `kernel` says whether its path is looked at."""
    paths = [path for path in PATHS if kernel or path != "native"]
    for name in CLASSES:
        errors = {path: _error(name, path) for path in paths}
        whole = [path for path in paths if not isinstance(errors[path], str)]
        alike = {form: _alike(name, whole, form) for form in FORMATS}
        yield Result(name, errors, alike)


def alike_on(device: torch.device) -> dict[str, bool | str]:
    """Return whether steps of AMSGrad have a CPU's bits on a device, by format.

    In place of an answer stands the sentence with which a step failed.
    """
    found: dict[str, bool | str] = {}
    for form in FORMATS:
        try:
            ends = [_end(at, form) for at in (torch.device("cpu"), device)]
        except (OSError, RuntimeError, ValueError) as error:
            found[form] = f"{type(error).__name__}: {error}"
        else:
            found[form] = torch.equal(*ends)
    return found


def _end(device: torch.device, form: str) -> torch.Tensor:
    """Return a parameter after three steps on a device."""
    _, param = _built("AMSGrad", "loop")
    assert param.grad is not None
    there = Parameter(param.detach().to(device))
    there.grad = param.grad.to(device)
    optimizer = built("AMSGrad", [there], form)
    for _ in range(3):
        optimizer.step()
    return there.detach().cpu()


def _error(name: str, path: str) -> float | str:
    """Return the largest error of the second step, in units in the last place."""
    try:
        optimizer, param = _built(name, path)
        before, after, grad = _second_step(optimizer, param)
    except (OSError, RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    recipe = CLASSES[name].recipe
    rule = recipe.function()
    expected = update(rule.at(2, recipe.lr), grad, before, peak=rule.peak)
    met = (np.zeros(_SHAPE), np.abs(grad), grad**2, grad**2)
    return max(
        _units(got, want, np.maximum(np.abs(old), extra))
        for got, want, old, extra in zip(after, expected, before, met, strict=True)
    )


def _units(
    got: NDArray[np.float64], want: NDArray[np.float64], met: NDArray[np.float64]
) -> float:
    largest = np.maximum(met, np.abs(want)).astype(np.float32)
    error = np.abs(got - want) / np.spacing(largest)
    return float("inf") if np.isnan(error).any() else float(error.max())


def _second_step(
    optimizer: torch.optim.Optimizer, param: Parameter
) -> tuple[State, State, NDArray[np.float64]]:
    assert param.grad is not None
    optimizer.step()
    param.grad = param.grad.flip(0)
    before = _state(optimizer, param)
    optimizer.step()
    return before, _state(optimizer, param), param.grad.double().numpy()


def _state(optimizer: torch.optim.Optimizer, param: Parameter) -> State:
    kept = optimizer.state[param]
    square = kept["square"]
    moments = (kept["momentum"], square, kept.get("peak", torch.zeros_like(square)))
    values = (param.detach(), *moments)
    return State(*(tensor.double().numpy().copy() for tensor in values))


def _alike(name: str, paths: list[str], form: str) -> bool:
    """Whether three steps of every path end in the same bits."""
    ends = []
    for path in paths:
        optimizer, param = _built(name, path, form)
        for _ in range(3):
            optimizer.step()
        ends.append(param.detach())
    return all(torch.equal(end, ends[0]) for end in ends)


def _built(
    name: str, path: str, form: str = FORMATS[0]
) -> tuple[torch.optim.Optimizer, Parameter]:
    source = torch.Generator().manual_seed(0)
    start, grad = torch.randn(
        (2, *_SHAPE), generator=source, dtype=torch.float32, device="cpu"
    )
    param = Parameter(start.sign() + 0.25)
    param.grad = grad
    return built(name, [param], form, PATHS[path]), param
