"""Every parameter counts its own steps, exactly, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from tests.torch import rounding
from tests.torch.cases import (
    COMPUTED,
    EAGER,
    PATHS,
    Member,
    Options,
    drive,
    follow,
    give,
    gradients,
    kinds,
    members,
    numbers_of,
    parameters,
    paths,
    run,
    same_bits,
)
from torch import Tensor, multiprocessing

from mementum.torch import AdaX

LATE = [2**24 - 1, 2**24, 2**31 - 1, 2**31, 887_272, 7_098_183, 10**9, 2**53 - 3]


@kinds
@paths()
def test_a_parameter_without_a_gradient_stays(member: Member, flags: Options) -> None:
    start = parameters()
    params, optimizer = run(member, start, [[None] * len(start)] * 3, **flags)
    assert same_bits(params, start)
    assert not optimizer.state


@kinds
@paths()
def test_parameters_that_want_no_gradient_can_be_listed(
    member: Member, flags: Options
) -> None:
    params = [torch.ones(2), torch.ones(3, dtype=torch.int64)]
    optimizer = member(params, **flags)
    optimizer.step()
    assert not optimizer.state


@kinds
@paths()
def test_a_late_parameter_starts_at_its_own_first_step(
    member: Member, flags: Options
) -> None:
    early, late = parameters(torch.float64, [(6,), (6,)])
    grads = gradients([early, late], 30)
    frozen = [[a, None if t < 11 else b] for t, (a, b) in enumerate(grads)]
    both, optimizer = run(member, [early, late], frozen, **flags)
    assert [int(optimizer.state[p]["step"]) for p in both] == [30, 19]
    (alone,), _ = run(member, [late], [[b] for _, b in grads[11:]], **flags)
    assert same_bits(both[1], alone)


@kinds
@paths(EAGER)
def test_a_parameter_frozen_for_a_while_keeps_its_state(
    member: Member, flags: Options
) -> None:
    (start,) = parameters(torch.float64, [(6,)])
    series = [step[0] for step in gradients([start], 30)]
    gaps = [None if 10 <= t < 20 else g for t, g in enumerate(series)]
    (param,), optimizer = run(member, [start], [[g] for g in gaps], **flags)
    assert optimizer.state[param]["step"] == 20
    expected = follow(member, start, gaps).p
    assert np.array_equal(param.detach().numpy(), expected)


def begin_at(optimizer: torch.optim.Optimizer, taken: Any) -> None:
    """Let the optimizer believe it has taken so many steps."""
    saved = deepcopy(optimizer.state_dict())
    for kept in saved["state"].values():
        kept["step"] = taken
    optimizer.load_state_dict(saved)


@members
@paths(COMPUTED)
@pytest.mark.parametrize("taken", LATE)
def test_late_steps_are_exact(member: Member, flags: Options, taken: int) -> None:
    # Capturable numbers err by some roundings more (see test_reference_agreement); the
    # exponents of a growing memory also carry the rounding of log_ratio times t, so
    # that exp errs by up to 745 roundings before its result vanishes.
    (param,) = parameters(torch.float64, [(6,)])
    optimizer = member([param], **flags)
    series = [step[0] for step in gradients([param], 4)]
    give([param], [series[0]])
    optimizer.step()
    begin_at(optimizer, taken)
    numbers = 1500 if flags.get("capturable") else 1
    u = rounding.ROUNDOFF[torch.float64]
    units = rounding.Units.of(torch.float64)._replace(numbers=numbers * u)
    for t, grad in enumerate(series[1:], start=taken + 1):
        state = rounding.state_of(optimizer, param)
        give([param], [grad])
        optimizer.step()
        assert int(optimizer.state[param]["step"]) == t
        c, peak = numbers_of(member, t)
        expected, errors = rounding.errors_after(
            c, grad.numpy(), state, rounding.exactly(state), units, peak=peak
        )
        rounding.assert_within(rounding.state_of(optimizer, param), expected, errors)


def test_adax_walks_past_the_step_where_its_published_form_overflows() -> None:
    # (1 + 1e-4) ** t leaves float32 at step 887,273.
    begin, steps = 886_000, 2_500
    param = torch.linspace(-1, 1, 5).requires_grad_()
    optimizer = AdaX([param])
    give([param], [torch.full_like(param, 0.5)])
    optimizer.step()
    begin_at(optimizer, begin)
    state = rounding.state_of(optimizer, param)
    errors = rounding.exactly(state)
    units = rounding.Units.of(torch.float32)
    wave = torch.sin(torch.arange(64.0))
    for t in range(begin + 1, begin + steps + 1):
        grad = wave[t % 64] + 0.1 * param.detach()
        param.grad = grad
        optimizer.step()
        c, peak = numbers_of(AdaX, t)
        g = grad.double().numpy()
        state, errors = rounding.errors_after(c, g, state, errors, units, peak=peak)
    found = rounding.state_of(optimizer, param)
    assert all(np.isfinite(part).all() for part in found)
    assert optimizer.state[param]["step"] == begin + steps
    assert errors.p.max() < 0.01, "the bound says little"
    rounding.assert_within(found, state, errors)


FORMS = {
    "int": lambda t: t,
    "float": float,
    "float32 tensor": lambda t: torch.tensor(float(t)),
    "float64 tensor": lambda t: torch.tensor(float(t), dtype=torch.float64),
    "int64 tensor": torch.tensor,
    "tensor of one dimension": lambda t: torch.tensor([t]),
}


@kinds
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@paths()
def test_a_loaded_step_of_any_form_takes_its_paths_own(
    member: Member, form: Any, flags: Options
) -> None:
    own = torch.tensor if flags.get("capturable") else int
    start = parameters()
    grads = gradients(start, 6)
    whole, _ = run(member, start, grads, **flags)
    halved, optimizer = run(member, start, grads[:4], **flags)
    assert all(same_bits(kept["step"], own(4)) for kept in optimizer.state.values())
    begin_at(optimizer, form(4))
    for step in grads[4:]:
        give(halved, step)
        optimizer.step()
    assert same_bits(halved, whole)
    assert all(same_bits(kept["step"], own(6)) for kept in optimizer.state.values())


def share(optimizer: torch.optim.Optimizer, form: Callable[[int], Tensor]) -> None:
    """Put all parameters and states into shared memory, steps included."""
    for param, kept in optimizer.state.items():
        param.share_memory_()
        kept["step"] = form(int(kept["step"]))
        for value in kept.values():
            value.share_memory_()


SHARED = {
    "float32": lambda t: torch.tensor(float(t)),
    "int64": torch.tensor,
    "one dimension": lambda t: torch.tensor([float(t)]),
}
SHARING = {name: PATHS[name] for name in (*EAGER, "capturable default")}


@kinds
@pytest.mark.parametrize("form", SHARED.values(), ids=SHARED.keys())
@paths(SHARING | {"bfloat16": {"state_dtype": "bfloat16"}})
def test_a_step_in_shared_memory_stays_there(
    member: Member, form: Any, flags: Options
) -> None:
    start = parameters()
    grads = gradients(start, 6)
    whole, _ = run(member, start, grads, **flags)
    params, optimizer = run(member, start, grads[:2], **flags)
    share(optimizer, form)
    steps = [kept["step"] for kept in optimizer.state.values()]
    drive(optimizer, params, grads[2:4])
    # What another process sees.
    assert [int(step) for step in steps] == [4] * len(steps)
    assert all(
        kept["step"].data_ptr() == step.data_ptr()
        for kept, step in zip(optimizer.state.values(), steps, strict=True)
    )
    other = member(params, **flags)
    other.state.update({p: dict(kept) for p, kept in optimizer.state.items()})
    for turn, step in zip((other, optimizer), grads[4:], strict=True):
        drive(turn, params, [step])
    assert same_bits(params, whole)
    assert optimizer.telemetry().overall.steps == 6
    taken = [int(kept["step"]) for kept in optimizer.state_dict()["state"].values()]
    assert taken == [6] * len(steps)


def _step_elsewhere(optimizer: Any, params: list[Tensor], grads: Any) -> None:
    drive(optimizer, params, grads)


@pytest.mark.process
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_that_share_an_optimizer_count_together(method: str) -> None:
    start = parameters(shapes=[(5,), (3,)])
    grads = gradients(start, 6)
    whole, _ = run(AdaX, start, grads)
    params, optimizer = run(AdaX, start, grads[:1])
    share(optimizer, SHARED["int64"])
    context = multiprocessing.get_context(method)
    child = context.Process(
        target=_step_elsewhere, args=(optimizer, params, grads[1:5])
    )
    child.start()
    child.join()
    assert child.exitcode == 0
    drive(optimizer, params, grads[5:])
    assert same_bits(params, whole)


@pytest.fixture(params=[torch.float64, torch.bfloat16, torch.float16], ids=str)
def default_dtype(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(before)


@members
@paths({name: PATHS[name] for name in ("foreach", "capturable loop")})
@pytest.mark.usefixtures("default_dtype")
def test_the_default_dtype_counts_no_steps_and_keeps_no_moments(
    member: Member, flags: Options
) -> None:
    # A step counted in bfloat16 would stay at 256.
    start = parameters(torch.float32, [(3,)])
    grads = gradients(start, 8)

    def walk() -> torch.Tensor:
        (param,), optimizer = run(member, start, grads[:1], **flags)
        begin_at(optimizer, 253)
        drive(optimizer, [param], grads[1:])
        assert optimizer.state[param]["step"] == 260
        assert optimizer.state[param]["square"].dtype == torch.float32
        return param

    found = walk()
    torch.set_default_dtype(torch.float32)
    assert same_bits(found, walk())


@kinds
@pytest.mark.parametrize("word", ["step", "momentum", "square"])
def test_a_state_with_a_gap_is_refused(member: Member, word: str) -> None:
    param = torch.nn.Parameter(torch.ones(3))
    optimizer = member([param], lr=0.1)
    for _ in range(3):
        param.grad = torch.ones(3)
        optimizer.step()
    del optimizer.state[param][word]
    before = param.detach().clone()
    message = rf"^{member.__name__}: the state of a parameter has no '{word}'"
    with pytest.raises(RuntimeError, match=message):
        optimizer.step()
    assert torch.equal(param, before)


@kinds
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (Tensor.to_sparse, "torch.sparse_coo"),
        (lambda moment: moment.to("meta"), "on meta"),
        (lambda moment: moment[:1], r"has shape \(1,\)"),
    ],
    ids=["sparse", "meta", "shorter"],
)
def test_a_moment_that_fits_no_longer_is_refused(
    member: Member, change: Callable[[Tensor], Tensor], word: str
) -> None:
    (param,) = parameters(shapes=[(3,)])
    optimizer = member([param])
    drive(optimizer, [param], gradients([param], 2))
    kept = optimizer.state[param]
    kept["square"] = change(kept["square"])
    before = param.detach().clone()
    param.grad = torch.ones(3)
    with pytest.raises(ValueError, match=f"the square kept for a parameter.* {word}"):
        optimizer.step()
    assert same_bits(param.detach(), before)
    assert kept["step"] == 2


@kinds
def test_a_name_without_a_parameter_is_refused(member: Member) -> None:
    model = torch.nn.Linear(4, 3)
    optimizer = member(model.named_parameters(), lr=0.1)
    model(torch.ones(1, 4)).sum().backward()
    optimizer.param_groups[0]["params"].pop()
    before = model.weight.detach().clone()
    message = rf"^{member.__name__}: a group has 1 params and 2 param_names"
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert torch.equal(model.weight, before)
