"""What gradients may hold, what a bad one does, and that none is ever modified."""

from __future__ import annotations

import pytest
import torch
from tests.torch.cases import (
    CAPTURABLE,
    EAGER,
    PATHS,
    Member,
    Options,
    bits_of,
    branches,
    drive,
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
from torch import Tensor

nan, inf = float("nan"), float("inf")
NONFINITE = [nan, inf, -inf]
SHAPES = [(3,), (), (0,), (2, 2)]
values = pytest.mark.parametrize("value", NONFINITE, ids=str)


def spoiled(grads: list[Tensor], index: int, place: int, value: float) -> list[Tensor]:
    """Return the gradients with one element replaced."""
    copies = [grad.clone() for grad in grads]
    copies[index].view(-1)[place] = value
    return copies


PLACES = [(0, 0), (0, 2), (1, 0), (3, 3)]


@kinds
@paths(EAGER)
@values
def test_a_skipped_step_never_was(member: Member, flags: Options, value: float) -> None:
    start = parameters(shapes=SHAPES)
    grads = gradients(start, 6)
    expected = bits_of(run(member, start, grads, **flags)[1])
    for count, (index, place) in enumerate(PLACES, start=1):
        params = twins(start)
        optimizer = member(params, nonfinite="skip", **flags)
        bad = spoiled(grads[0], index, place, value)
        drive(optimizer, params, [*grads[:3], *[bad] * count, *grads[3:]])
        assert optimizer.skipped_steps == count
        assert same_bits(bits_of(optimizer), expected)


@kinds
@values
def test_a_bad_first_step_leaves_nothing_behind(member: Member, value: float) -> None:
    start = parameters(shapes=SHAPES)
    bad = spoiled(gradients(start, 1)[0], 0, 0, value)
    params, optimizer = run(member, start, [bad], nonfinite="skip")
    assert same_bits(params, start)
    assert not optimizer.state


@kinds
@paths(EAGER)
@values
def test_a_bad_gradient_is_raised_by_name_and_changes_nothing(
    member: Member, flags: Options, value: float
) -> None:
    start = parameters(shapes=SHAPES)
    grads = gradients(start, 3)
    params, optimizer = run(member, start, grads, nonfinite="raise", **flags)
    before = bits_of(optimizer)
    for index, place in PLACES:
        give(params, spoiled(grads[0], index, place, value))
        message = rf"^{member.__name__}: .*parameter {index} of group 0 is"
        with pytest.raises(FloatingPointError, match=message):
            optimizer.step()
        assert same_bits(bits_of(optimizer), before)
    assert optimizer.skipped_steps == 0
    drive(optimizer, params, grads[:1])


@kinds
@paths()
@values
def test_a_propagated_value_stays_in_its_element(
    member: Member, flags: Options, value: float
) -> None:
    start = parameters(shapes=[(7,)])
    grads = gradients(start, 4)
    clean, _ = run(member, start, grads, **flags)
    bad = [spoiled(grads[0], 0, 4, value), *grads[1:]]
    (param,), optimizer = run(member, start, bad, **flags)
    others = torch.arange(7) != 4
    assert same_bits(param.detach()[others], clean[0].detach()[others])
    assert param.detach()[4].isnan()
    assert optimizer.skipped_steps == 0


@members
def test_paths_agree_on_what_is_not_finite(member: Member) -> None:
    start = parameters(shapes=[(40,)])
    grads = gradients(start, 5)
    for i, value in enumerate([nan, inf, -inf, 1e30, 1e-30, 1e-45, 0.0, -0.0]):
        grads[1][0][5 * i] = value
    ends = [run(member, start, grads, **flags)[0][0] for flags in EAGER.values()]
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], rtol=0, atol=0, equal_nan=True)


@kinds
def test_a_policy_belongs_to_its_group(member: Member) -> None:
    watched, free = twins(parameters(shapes=[(3,), (3,)]))
    groups = [{"params": [watched], "nonfinite": "skip"}, {"params": [free]}]
    optimizer = member(groups)
    before = free.detach().clone()
    give([watched, free], [torch.tensor([0.0, nan, 0.0]), torch.ones(3)])
    optimizer.step()
    assert optimizer.skipped_steps == 1
    assert same_bits(free, before)
    give([watched, free], [torch.ones(3), torch.tensor([0.0, nan, 0.0])])
    optimizer.step()
    assert optimizer.skipped_steps == 1
    assert free.detach().isnan().tolist() == [False, True, False]


@kinds
def test_skipped_steps_survive_a_checkpoint(member: Member) -> None:
    start = parameters(shapes=[(3,)])
    bad = [[torch.full((3,), nan)]]
    params, optimizer = run(member, start, bad * 2, nonfinite="skip")
    other = member(twins(params))
    other.load_state_dict(optimizer.state_dict())
    assert other.skipped_steps == 2
    drive(other, other.param_groups[0]["params"], bad)
    assert (other.skipped_steps, optimizer.skipped_steps) == (3, 2)
    other.add_param_group({"params": [torch.ones(2, requires_grad=True)]})
    assert other.skipped_steps == 3


@kinds
def test_an_infinite_complex_gradient_is_skipped(member: Member) -> None:
    start = parameters(torch.complex64, [(3,)])
    for value in (complex(nan, 0), complex(0, inf)):
        bad = torch.zeros(3, dtype=torch.complex64)
        bad[1] = value
        params, optimizer = run(member, start, [[bad]], nonfinite="skip")
        assert optimizer.skipped_steps == 1
        assert same_bits(params, start)
    # Finite, though its magnitude is not.
    large = torch.full((3,), complex(3e38, 3e38), dtype=torch.complex64)
    _, optimizer = run(member, start, [[large]], nonfinite="skip")
    assert optimizer.skipped_steps == 0


@kinds
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str
)
def test_large_and_tiny_gradients_are_finite(
    member: Member, dtype: torch.dtype
) -> None:
    info = torch.finfo(dtype)
    ends = [info.max, info.min, info.smallest_normal, info.tiny / 2, -0.0]
    grad = torch.tensor(ends, dtype=dtype)
    start = parameters(dtype, [(5,)])
    _, optimizer = run(member, start, [[grad]], nonfinite="raise")
    assert optimizer.skipped_steps == 0


@kinds
@paths()
def test_a_sparse_gradient_is_refused_by_name(member: Member, flags: Options) -> None:
    model = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = member(model.named_parameters(), **flags)
    model(torch.tensor([1, 3])).sum().backward()
    before = model.weight.detach().clone()
    message = rf"^{member.__name__}: the gradient of parameter 'weight' is sparse"
    with pytest.raises(RuntimeError, match=message):
        optimizer.step()
    assert same_bits(model.weight, before)
    assert not optimizer.state


@branches
@paths()
@pytest.mark.parametrize("maximize", [False, True], ids=["", "maximize"])
def test_no_gradient_is_modified(
    member: Member, options: Options, flags: Options, maximize: bool
) -> None:
    params = twins(
        [*parameters(torch.float32), *parameters(torch.complex64, [(3,)], seed=3)]
    )
    params += twins(parameters(torch.bfloat16, [(3,)], seed=4))
    optimizer = member(params, maximize=maximize, **options, **flags)
    for step in gradients(params, 2):
        give(params, step)
        held = [(p.grad, p.grad._version) for p in params]
        optimizer.step()
        for param, grad, (same, version) in zip(params, step, held, strict=True):
            assert param.grad is same
            assert same_bits(param.grad, grad)
            assert param.grad._version == version


@kinds
@paths(EAGER | {"capturable": CAPTURABLE["capturable default"]})
def test_autograd_notices_that_a_parameter_has_changed(
    member: Member, flags: Options
) -> None:
    # A graph from before the step would give wrong gradients; torch says so.
    (param,) = twins(parameters(shapes=[(3,)]))
    optimizer = member([param], **flags)
    loss = (param**2).sum()
    param.grad = torch.ones(3)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@kinds
@pytest.mark.parametrize("path", PATHS)
def test_zero_grad_forgets_gradients_and_not_moments(member: Member, path: str) -> None:
    params, optimizer = run(
        member, start := parameters(), gradients(start, 2), **PATHS[path]
    )
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)
    before = bits_of(optimizer)
    optimizer.step()
    assert same_bits(bits_of(optimizer), before)
    give(params, gradients(start, 1)[0])
    optimizer.zero_grad(set_to_none=False)
    assert all(not p.grad.any() for p in params if p.grad is not None)
