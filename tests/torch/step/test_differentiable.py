"""A differentiable step can be differentiated, in all that goes into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.torch.cases import (
    MEMBERS,
    Member,
    Options,
    gradients,
    kinds,
    members,
    parameters,
    run,
    same_bits,
    settings,
)
from torch import Tensor
from torch.autograd import gradcheck


def two_steps(member: Member, options: Options) -> Callable[..., Any]:
    """Return parameter and moments after two steps, as a function of what enters."""

    def unrolled(param: Tensor, first: Tensor, second: Tensor, rate: Tensor) -> Any:
        # A step in place would change what autograd compares against.
        own = param.clone()
        optimizer = member([own], lr=rate, differentiable=True, **options)
        for grad in (first, second):
            own.grad = grad
            optimizer.step()
        kept = optimizer.state[own]
        return own, kept["momentum"], kept["square"]

    return unrolled


def entering() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(5)

    def draw() -> Tensor:
        values = torch.randn(4, generator=generator, dtype=torch.float64)
        return (values.sign() * (0.5 + values.abs())).requires_grad_()

    rate = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    return draw(), draw(), draw() * 0.5, rate


@settings
def test_two_steps_have_the_right_derivatives(member: Member, options: Options) -> None:
    tensors = tuple(t.detach().requires_grad_() for t in entering())
    assert gradcheck(two_steps(member, options), tensors)


@members
def test_a_plain_rate_is_differentiated_through_too(member: Member) -> None:
    param, first, second, _ = (t.detach().requires_grad_() for t in entering())

    def unrolled(*tensors: Tensor) -> Any:
        return two_steps(member, {})(*tensors, 0.1)

    assert gradcheck(unrolled, (param, first, second))


NUMBERS = [
    (member, name)
    for member in MEMBERS
    for name in ("betas", "momentum", "memory", "eps", "weight_decay")
    if name in member.recipe.defaults
]


@pytest.mark.parametrize(
    ("member", "name"), NUMBERS, ids=[f"{m.__name__}-{name}" for m, name in NUMBERS]
)
def test_hyperparameters_are_differentiated(member: Member, name: str) -> None:
    param, first, second, rate = (t.detach() for t in entering())
    usual = member.recipe.defaults[name]
    values = usual if isinstance(usual, tuple) else (max(usual, 0.25),)
    tensors = tuple(
        torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values
    )

    def unrolled(*given: Tensor) -> Tensor:
        options = {name: given if name == "betas" else given[0]}
        return two_steps(member, options)(param, first, second, rate)[0]

    # The second beta of a growing memory is 1e-4: a step of 1e-6 still is small.
    assert gradcheck(unrolled, tensors, eps=1e-7, atol=1e-4)


@settings
def test_being_differentiable_changes_no_result(
    member: Member, options: Options
) -> None:
    # Only the square root is another: torch's, up to an ulp off, for five steps.
    start = parameters(torch.float64)
    grads = gradients(start, 5)
    expected, _ = run(member, start, grads, **options)
    with torch.no_grad():
        params = [p.detach().clone() for p in start]
    optimizer = member(params, differentiable=True, **options)
    for step in grads:
        for param, grad in zip(params, step, strict=True):
            param.grad = grad.clone()
        optimizer.step()
    torch.testing.assert_close(
        params, [p.detach() for p in expected], rtol=1e-14, atol=1e-14
    )


@members
def test_a_rate_is_learned_through_the_step(member: Member) -> None:
    rate = torch.tensor(0.01, dtype=torch.float64, requires_grad=True)
    param = torch.ones(3, dtype=torch.float64)
    own = param.clone()
    optimizer = member([own], lr=rate, differentiable=True)
    own.grad = torch.ones(3, dtype=torch.float64)
    optimizer.step()
    (slope,) = torch.autograd.grad((own**2).sum(), rate)
    assert slope < 0


@kinds
def test_the_graph_reaches_no_further_than_asked(member: Member) -> None:
    start = parameters(shapes=[(3,)])
    params, optimizer = run(member, start, gradients(start, 2))
    kept = optimizer.state[params[0]]
    assert not kept["momentum"].requires_grad
    assert same_bits(params[0].detach(), params[0])
