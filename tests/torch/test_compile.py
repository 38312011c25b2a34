"""A compiled step is the eager one, bit for bit, and recompiles nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import torch
from tests.torch.cases import (
    CAPTURABLE,
    PATHS,
    Member,
    Options,
    bits_of,
    give,
    gradients,
    kinds,
    members,
    parameters,
    paths,
    run,
    same_bits,
    twins,
)

# torch says so itself whenever it traces through a hook or a profiler's mark.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*:UserWarning", "ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning"
)


@pytest.fixture(autouse=True)
def a_fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@members
@paths({name: PATHS[name] for name in ("default", *CAPTURABLE)})
def test_a_compiled_step_is_the_eager_one(member: Member, flags: Options) -> None:
    start = parameters()
    grads = gradients(start, 4)
    expected = bits_of(run(member, start, grads, **flags)[1])
    params = twins(start)
    optimizer = member(params, **flags)
    step = torch.compile(optimizer.step, backend="eager")
    for each in grads:
        give(params, each)
        step()
    assert same_bits(bits_of(optimizer), expected)


@kinds
def test_a_compiled_training_loop_is_the_eager_one(member: Member) -> None:
    def train(compiled: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 2)
        optimizer = member(model.parameters(), lr=0.01)
        inputs = torch.linspace(-1, 1, 20).reshape(5, 4)

        def step() -> None:
            optimizer.zero_grad()
            model(inputs).square().sum().backward()
            optimizer.step()

        run_step = torch.compile(step, backend="aot_eager") if compiled else step
        for _ in range(3):
            run_step()
        return [p.detach() for p in model.parameters()]

    assert same_bits(train(True), train(False))


@members
def test_steps_and_rates_recompile_nothing(member: Member) -> None:
    (param,) = parameters(shapes=[(3,)])
    optimizer = member([param])
    compilations = torch._dynamo.testing.CompileCounter()
    step = torch.compile(optimizer.step, backend=compilations)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    counts = []
    for _ in range(8):
        param.grad = torch.ones(3)
        step()
        scheduler.step()
        counts.append(compilations.frame_count)
    assert counts[-1] == counts[1]


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_the_default_compiler_takes_a_step() -> None:
    from mementum.torch import AdaX

    start = parameters(shapes=[(5,), (2, 2)])
    grads = gradients(start, 3)
    for flags in ({}, {"capturable": True}):
        expected, _ = run(AdaX, start, grads, **flags)
        params = twins(start)
        optimizer = AdaX(params, **flags)
        step = torch.compile(optimizer.step)
        for each in grads:
            give(params, each)
            step()
        assert same_bits(params, expected)
