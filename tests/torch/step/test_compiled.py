"""A compiled step is the eager one, bit for bit, and recompiles nothing."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator

import pytest
import torch
from tests.torch.cases import (
    CAPTURABLE,
    KINDS,
    PATHS,
    Member,
    Options,
    bits_of,
    give,
    gradients,
    kinds,
    parameters,
    paths,
    run,
    same_bits,
    twins,
    with_gaps,
)
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from mementum.torch import FamilyOptimizer

# torch says so itself whenever it traces through a hook or a profiler's mark, and on
# Python 3.13.0.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*:UserWarning",
    "ignore:.*:DeprecationWarning",
    "ignore:.*:FutureWarning",
    "ignore:Guards may run slower:RuntimeWarning",
)


@pytest.fixture(autouse=True)
def a_fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@kinds
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


BACKENDS = ["eager", "aot_eager"]
WHOLE: dict[str, Options] = {
    "default": {},
    "foreach": {"foreach": True},
    "capturable": {"capturable": True},
    "clipped": {"clip_norm": 1.0, "nonfinite": "skip"},
    "bfloat16": {"state_dtype": torch.bfloat16},
}


@pytest.mark.parametrize("backend", BACKENDS)
@paths(WHOLE)
@kinds
def test_a_whole_graph_steps_as_eager_does_and_is_compiled_once(
    member: Member, flags: Options, backend: str
) -> None:
    start = parameters(shapes=[(3, 4), (5,)])
    # More than the eight times that torch compiles before it gives up.
    grads = gradients(start, 21)
    states = []
    compiler = CompileCounterWithBackend(backend)
    for compiled in (False, True):
        params = twins(start)
        optimizer = member(params, **flags)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.98)

        def step(optimizer: FamilyOptimizer = optimizer) -> None:
            optimizer.step()

        if compiled:
            step = torch.compile(step, fullgraph=True, backend=compiler)
        for each in grads:
            give(params, each)
            step()
            scheduler.step()
        states.append(bits_of(optimizer))
    assert same_bits(states[0], states[1])
    assert compiler.frame_count == 1


@pytest.mark.parametrize(
    ("member", "backend"),
    [(member, backend) for member in KINDS for backend in BACKENDS]
    # With a C++ compiler, which takes seconds, the default one too.
    + [pytest.param(KINDS[0], "inductor", marks=pytest.mark.process)]
    * (shutil.which("g++") is not None),
)
def test_a_graph_around_the_step_keeps_its_order(member: Member, backend: str) -> None:
    start = parameters(shapes=[(4,), (2, 3)])
    grads = gradients(start, 3)

    def around(optimizer: FamilyOptimizer, params: list[Tensor]) -> Tensor:
        # What the graph changes before the step is what the step reads, and what
        # comes after it sees what the step has made.
        with torch.no_grad():
            for param in params:
                param.mul_(0.5)
                param.grad.mul_(2.0)
            optimizer.step()
            return torch.stack([(2 * param).sum() for param in params])

    ends = []
    for compiled in (False, True):
        params = twins(start)
        optimizer = member(params)
        run_all = around
        if compiled:
            run_all = torch.compile(around, fullgraph=True, backend=backend)
        sums = []
        for each in grads:
            give(params, each)
            sums.append(run_all(optimizer, params))
        ends.append((sums, bits_of(optimizer), [p.grad for p in params]))
    # The default compiler adds up in another order: 6 terms of float32.
    torch.testing.assert_close(ends[0][0], ends[1][0], rtol=6 * 2.0**-23, atol=1e-6)
    assert same_bits(ends[0][1:], ends[1][1:])


@kinds
def test_a_graph_sees_which_gradients_there_are(member: Member) -> None:
    start = parameters(shapes=[(3,), (4,)])
    grads = with_gaps(gradients(start, 10))
    expected, _ = run(member, start, grads)
    params = twins(start)
    optimizer = member(params)
    step = torch.compile(optimizer.step, fullgraph=True, backend="aot_eager")
    for each in grads:
        give(params, each)
        step()
    assert same_bits(params, expected)


@kinds
def test_a_graph_takes_a_scale_and_a_verdict(member: Member) -> None:
    start = parameters(shapes=[(3,), (4,)])
    grads = gradients(start, 3)
    expected, _ = run(member, start, grads[:1])
    params = twins(start)
    optimizer = member(params)
    step = torch.compile(optimizer.step, fullgraph=True, backend="aot_eager")
    for each, verdict in zip(grads, (0.0, 1.0, 1.0), strict=True):
        give(params, [4 * grad for grad in each])
        # A GradScaler says it outside the graph.
        optimizer.grad_scale = torch.full((), 4.0)
        optimizer.found_inf = torch.tensor(verdict)
        step()
    assert same_bits(params, expected)
    assert optimizer.skipped_steps == 2


@kinds
def test_a_policy_raises_from_a_graph_and_changes_nothing(member: Member) -> None:
    start = parameters(shapes=[(3,)])
    params, optimizer = run(member, start, gradients(start, 2), nonfinite="raise")
    step = torch.compile(optimizer.step, fullgraph=True, backend="eager")
    before = bits_of(optimizer)
    bad = torch.tensor([1.0, float("nan"), 1.0])
    params[0].grad = bad
    with pytest.raises(FloatingPointError, match=rf"^{member.__name__}: the gradient"):
        step()
    assert same_bits(bits_of(optimizer), before)
    assert params[0].grad is bad
    assert torch.is_grad_enabled()


@kinds
def test_a_group_that_joins_is_compiled_anew(member: Member) -> None:
    start = parameters(shapes=[(3,), (4,)])
    grads = gradients(start, 4)
    ends = []
    for compiled in (False, True):
        params = twins(start)
        optimizer = member(params[:1])
        step = optimizer.step
        if compiled:
            step = torch.compile(step, fullgraph=True, backend="eager")
        for i, each in enumerate(grads):
            if i == 2:
                optimizer.add_param_group({"params": params[1:], "lr": 0.5})
            give(params, each)
            step()
        ends.append(bits_of(optimizer))
    assert same_bits(ends[0], ends[1])


@kinds
@pytest.mark.parametrize("shape", [(3,), (4,)])
def test_parameters_put_into_a_group_by_hand_are_stepped(
    member: Member, shape: tuple[int, ...]
) -> None:
    start = parameters(shapes=[(3,), shape, (2,)])
    ends = []
    for compiled in (False, True):
        first, second, third = twins(start)
        optimizer = member([first])
        step = optimizer.step
        if compiled:
            step = torch.compile(step, fullgraph=True, backend="eager")
        for params in ([first], [second], [second, third], [third, first]):
            optimizer.param_groups[0]["params"] = params
            for p in (first, second, third):
                p.grad = torch.ones_like(p)
            step()
        ends.append(bits_of(optimizer))
    assert same_bits(ends[0], ends[1])


@kinds
def test_another_list_of_groups_is_refused_in_a_graph_and_taken_outside(
    member: Member,
) -> None:
    (param,) = parameters(shapes=[(3,)])
    optimizer = member([param])
    step = torch.compile(optimizer.step, fullgraph=True, backend="eager")
    optimizer.param_groups = [*optimizer.param_groups]
    param.grad = torch.ones(3)
    with pytest.raises(RuntimeError, match=rf"^{member.__name__}: param_groups is ano"):
        step()
    optimizer.step()
    step()
    assert optimizer.state[param]["step"] == 2


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


@kinds
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


@kinds
def test_schedulers_know_that_a_compiled_step_was_taken(member: Member) -> None:
    torch.compiler.reset()
    param = torch.nn.Parameter(torch.ones(3))
    optimizer = member([param], lr=0.01)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    @torch.compile(fullgraph=True, backend="eager")
    def step() -> None:
        optimizer.step()

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for _ in range(3):
            param.grad = torch.ones(3)
            step()
            scheduler.step()


@pytest.mark.process
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_the_default_compiler_takes_a_step() -> None:
    from mementum.torch import AdaX

    start = parameters(shapes=[(5,), (2, 2)])
    grads = gradients(start, 3)
    for flags in ({}, {"capturable": True}):
        expected, _ = run(AdaX, start, grads, **flags)
        params = twins(start)
        optimizer = AdaX(params, **flags)
        step = torch.compile(optimizer.step, fullgraph=True)
        for each in grads:
            give(params, each)
            step()
        assert same_bits(params, expected)
