"""torch's default device and dtype are the program's own: they change no bit of ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from tests.torch.cases import (
    PATHS,
    Member,
    Options,
    bits_of,
    drive,
    gradients,
    kinds,
    parameters,
    run,
    same_bits,
    twins,
)
from torch import Tensor

import mementum
from mementum import convert
from mementum.doctor import examination
from mementum.torch.state.formats import FORMATS

DEFAULTS: dict[str, Callable[[], None]] = {
    "meta": lambda: torch.set_default_device("meta"),
    "float64": lambda: torch.set_default_dtype(torch.float64),
    "float16": lambda: torch.set_default_dtype(torch.float16),
}


@pytest.fixture(params=DEFAULTS.values(), ids=DEFAULTS.keys())
def change(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Return what changes a default of torch until the end of the test."""
    before = torch.get_default_dtype()
    yield request.param
    torch.set_default_device(None)
    torch.set_default_dtype(before)


RUNS: dict[str, Options] = {
    **PATHS,
    **{name: {"state_dtype": name} for name in FORMATS},
    **{f"{name} by {path}": {"state_dtype": name, **PATHS[path]}
       for name in FORMATS for path in ("loop", "foreach")},
    "clipped": {"clip_norm": 0.5},
    "clipped by the loop": {"clip_norm": 0.5, **PATHS["loop"]},
    "clipped and captured": {"clip_norm": 0.5, "capturable": True},
    "skipping": {"nonfinite": "skip"},
    "skipping and clipped": {"nonfinite": "skip", "clip_norm": 0.5},
    "raising": {"nonfinite": "raise"},
    "a tensor as rate": {"lr": torch.tensor(0.125)},
    "a tensor as rate, captured": {"lr": torch.tensor(0.125), "capturable": True},
    "tensors as decay and eps": {
        "weight_decay": torch.tensor(0.25), "eps": torch.tensor(2.0**-20)
    },
}  # fmt: skip
runs = pytest.mark.parametrize("options", RUNS.values(), ids=RUNS.keys())
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.complex64)
SHAPES = ((64, 80), (), (0,), (2, 1, 3))


def outcome(
    member: Member, start: list[Tensor], grads: list[Any], options: Options
) -> list[Any]:
    """Return all that an optimizer says and does in a run with everything in it."""
    _, optimizer = run(member, start[:-1], [g[:-1] for g in grads[:2]], **options)
    (last,) = twins(start[-1:])
    optimizer.add_param_group({"params": [last]})
    params = [param for group in optimizer.param_groups for param in group["params"]]
    drive(optimizer, params, grads[2:4])
    optimizer.check()
    numbers = optimizer.telemetry().flat().values()
    said = [None if math.isnan(number) else number for number in numbers]
    own = twins(params)
    other = member([{"params": own[:-1]}, {"params": own[-1:]}], **options)
    other.load_state_dict(deepcopy(optimizer.state_dict()))
    bad = [None if g is None else g * float("nan") for g in grads[4]]
    for step in (bad, *grads[4:]):
        try:
            drive(other, own, [step])
        except FloatingPointError as error:
            said.append(str(error))
    counts = other.skipped_steps, other.clipped_steps, other.gradient_norm
    said += [optimizer.explain(), other.explain(), *map(repr, counts)]
    return [*said, *bits_of(optimizer), *bits_of(other)]


@kinds
@runs
def test_a_run_has_the_same_bits(
    member: Member, options: Options, change: Callable[[], None]
) -> None:
    every = options if "state_dtype" in options else None
    dtypes = (torch.float32, torch.bfloat16) if every else DTYPES
    start = [each for dtype in dtypes for each in parameters(dtype, SHAPES)]
    grads = gradients(start, 6)
    expected = outcome(member, start, grads, options)
    change()
    assert same_bits(outcome(member, start, grads, options), expected)


@kinds
def test_a_differentiated_step_has_the_same_bits(
    member: Member, change: Callable[[], None]
) -> None:
    (start,), rate = parameters(shapes=[(5,)]), torch.tensor(0.125)
    grads = gradients([start], 3)

    def walk() -> list[Tensor]:
        param, lr = start.detach().clone(), rate.clone().requires_grad_()
        optimizer = member([param], lr=lr, differentiable=True)
        drive(optimizer, [param], grads)
        (slope,) = torch.autograd.grad(param.sum(), lr)
        return [param.detach(), slope]

    expected = walk()
    change()
    assert same_bits(walk(), expected)


@kinds
def test_a_scaled_step_has_the_same_bits(
    member: Member, change: Callable[[], None]
) -> None:
    start = parameters(shapes=SHAPES)
    grads = gradients(start, 3)
    scale, verdicts = torch.tensor(1024.0), [torch.tensor(0.0), torch.tensor(1.0)]

    def walk(**options: Any) -> list[Any]:
        params = twins(start)
        optimizer: Any = member(params, clip_norm=1.0, **options)
        for step, found_inf in zip(grads, [*verdicts, None], strict=True):
            optimizer.grad_scale, optimizer.found_inf = scale, found_inf
            drive(optimizer, params, [step])
        return bits_of(optimizer)

    expected = walk(), walk(capturable=True)
    change()
    assert same_bits((walk(), walk(capturable=True)), expected)


@kinds
def test_a_step_in_backward_has_the_same_bits(
    member: Member, change: Callable[[], None]
) -> None:
    model, batch = torch.nn.Linear(6, 4), torch.randn(5, 6)

    def walk() -> list[Any]:
        own = deepcopy(model)
        steps = mementum.step_in_backward(own, lambda params: member(params, lr=0.125))
        for _ in range(3):
            own(batch).square().sum().backward()
        return bits_of(steps.optimizer)

    expected = walk()
    change()
    assert same_bits(walk(), expected)


@pytest.mark.parametrize("stored", [None, *FORMATS])
def test_an_optimizer_is_adopted_and_given_back_alike(
    stored: str | None, change: Callable[[], None]
) -> None:
    start = parameters(shapes=SHAPES)
    grads = gradients(start, 2)
    theirs = torch.optim.AdamW(own := twins(start))
    drive(theirs, own, grads)

    def there_and_back() -> list[Any]:
        ours = mementum.AdaXW(twins(start), state_dtype=stored)
        report = convert.adopt(ours, theirs)
        back = torch.optim.AdamW(twins(start))
        return [
            str(report),
            *bits_of(ours),
            str(convert.adopt(back, ours)),
            *bits_of(back),
        ]

    expected = there_and_back()
    change()
    assert same_bits(there_and_back(), expected)


def test_the_doctor_finds_the_same(change: Callable[[], None]) -> None:
    expected = list(map(str, examination.examine(kernel=False)))
    change()
    assert list(map(str, examination.examine(kernel=False))) == expected
