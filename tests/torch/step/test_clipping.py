"""One norm over all gradients, folded into the step; the gradients stay as they are."""

from __future__ import annotations

import math

import pytest
import torch
from tests.torch.cases import (
    EAGER,
    Member,
    Options,
    bits_of,
    drive,
    give,
    gradients,
    kinds,
    parameters,
    paths,
    run,
    same_bits,
    twins,
)
from torch import Tensor

from mementum.torch import Adam, AdaX
from mementum.torch.step.gradient_norms import square_sums

nan, inf = float("nan"), float("inf")
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64]


def norm_of(grads: list[Tensor]) -> float:
    """Return the global norm of real gradients, by an exact sum of float64 squares."""
    values = [value for grad in grads for value in grad.flatten().tolist()]
    return math.sqrt(math.fsum(value * value for value in values))


def clipped(grads: list[Tensor], max_norm: float) -> list[Tensor]:
    """Return the gradients as torch's coefficient leaves them, in float64."""
    coefficient = min(1.0, max_norm / (norm_of(grads) + 1e-6))
    return [grad * coefficient for grad in grads]


@kinds
@paths()
def test_a_clipped_step_is_the_step_of_clipped_gradients(
    member: Member, flags: Options
) -> None:
    start = parameters(torch.float64)
    grads = [list(step) for step in gradients(start, 5)]
    # Some steps are clipped, some not; and the coefficient is torch's.
    max_norm = sorted(map(norm_of, grads))[2] * 0.999
    found, optimizer = run(member, start, grads, clip_norm=max_norm, **flags)
    expected, _ = run(member, start, [clipped(g, max_norm) for g in grads], **flags)
    # Coefficient and product each round once, 2**-53, in either order of the factors;
    # a step of lr 1e-3 to 5e-3 passes on a few of those, five times.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-15)
    assert optimizer.clipped_steps == 3
    assert optimizer.gradient_norm == pytest.approx(norm_of(grads[-1]), rel=1e-15)


@kinds
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_norm_is_torchs(member: Member, dtype: torch.dtype) -> None:
    start = parameters(dtype, [(7, 3), (), (0,), (5,)])
    (grads,) = gradients(start, 1)
    _, optimizer = run(member, start, [grads], clip_norm=0.1)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    theirs = [grad.to(wide) for grad in grads]
    expected = torch.nn.utils.get_total_norm(theirs)
    # Each of 27 squares and partial sums rounds by 2**-53.
    assert optimizer.gradient_norm == pytest.approx(float(expected), rel=27 * 2**-53)


@kinds
@paths()
def test_a_norm_within_the_limit_changes_no_bit(member: Member, flags: Options) -> None:
    start = parameters()
    grads = gradients(start, 3)
    free, _ = run(member, start, grads, **flags)
    held, optimizer = run(member, start, grads, clip_norm=1e6, **flags)
    assert same_bits(free, held)
    assert optimizer.clipped_steps == 0


@kinds
@paths()
def test_clipping_modifies_no_gradient(member: Member, flags: Options) -> None:
    params = twins(parameters())
    optimizer = member(params, clip_norm=1e-3, **flags)
    (grads,) = gradients(params, 1)
    give(params, grads)
    held = [(p.grad, p.grad._version) for p in params]
    optimizer.step()
    for param, grad, (same, version) in zip(params, grads, held, strict=True):
        assert param.grad is same
        assert same_bits(param.grad, grad)
        assert param.grad._version == version


@kinds
@paths(EAGER)
def test_the_norm_is_one_over_all_groups(member: Member, flags: Options) -> None:
    start = parameters(shapes=[(3,), (4,), (2, 2)])
    grads = gradients(start, 4)
    together, optimizer = run(member, start, grads, clip_norm=0.5, **flags)
    apart = twins(start)
    groups = [{"params": [param]} for param in apart]
    divided = member(groups, clip_norm=0.5, **flags)
    drive(divided, apart, grads)
    assert same_bits(together, apart)
    assert divided.clipped_steps == optimizer.clipped_steps > 0


@kinds
def test_groups_must_agree_on_the_norm(member: Member) -> None:
    first, second = parameters(shapes=[(3,), (3,)])
    groups = [{"params": [first]}, {"params": [second], "clip_norm": 2.0}]
    message = rf"^{member.__name__}: parameter group 1: clip_norm is 2.0 here and 1.0"
    with pytest.raises(ValueError, match=message):
        member(groups, clip_norm=1.0)
    optimizer = member([first], clip_norm=1.0)
    with pytest.raises(ValueError, match="clip_norm"):
        optimizer.add_param_group({"params": [second], "clip_norm": None})
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": [second]})
    optimizer.param_groups[0]["clip_norm"] = 3.0
    give([first, second], [torch.ones(3), torch.ones(3)])
    with pytest.raises(ValueError, match=r"clip_norm is 1\.0 here and 3.0"):
        optimizer.step()
    assert not optimizer.state


@kinds
@pytest.mark.parametrize("value", [0, -1.0, nan, inf, "1", True, torch.ones(())])
def test_a_bad_limit_is_refused(member: Member, value: object) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{member.__name__}: clip_nor"):
        member(parameters(shapes=[(3,)]), clip_norm=value)


@kinds
def test_a_step_that_is_differentiated_is_not_clipped(member: Member) -> None:
    with pytest.raises(ValueError, match=r"clip_norm is 1\.0 and differentiable"):
        member(parameters(shapes=[(3,)]), clip_norm=1.0, differentiable=True)


@kinds
@paths(EAGER)
@pytest.mark.parametrize("value", [nan, inf, -inf], ids=str)
def test_a_norm_that_is_not_finite_meets_the_policy(
    member: Member, flags: Options, value: float
) -> None:
    start = parameters(shapes=[(3,), (2, 2)])
    grads = gradients(start, 4)
    bad = [grads[0][0].clone(), grads[0][1].clone()]
    bad[1][1, 0] = value
    clean, _ = run(member, start, grads, clip_norm=0.5, **flags)
    steps = [*grads[:2], bad, *grads[2:]]
    options = {"clip_norm": 0.5, **flags}
    skipped, optimizer = run(member, start, steps, nonfinite="skip", **options)
    assert same_bits(skipped, clean)
    assert optimizer.skipped_steps == 1
    params, optimizer = run(member, start, grads, nonfinite="raise", **options)
    before = bits_of(optimizer)
    give(params, bad)
    with pytest.raises(FloatingPointError, match="gradient of parameter 1 of group 0"):
        optimizer.step()
    assert same_bits(bits_of(optimizer), before)
    # Let through, it does what it does to torch's clip_grad_norm_.
    through, _ = run(member, start, [bad], clip_norm=0.5, **flags)
    theirs = twins(start)
    give(theirs, bad)
    torch.nn.utils.clip_grad_norm_(theirs, 0.5)
    expected, _ = run(member, start, [[p.grad for p in theirs]], **flags)
    torch.testing.assert_close(through, expected, rtol=0, atol=0, equal_nan=True)


@kinds
def test_the_strictest_policy_of_any_group_meets_the_norm(member: Member) -> None:
    watched, free = twins(parameters(shapes=[(3,), (3,)]))
    groups = [{"params": [watched], "nonfinite": "skip"}, {"params": [free]}]
    optimizer = member(groups, clip_norm=1.0)
    before = bits_of(optimizer)
    give([watched, free], [torch.ones(3), torch.tensor([0.0, nan, 0.0])])
    optimizer.step()
    assert optimizer.skipped_steps == 1
    assert same_bits(bits_of(optimizer), before)


@kinds
def test_finite_gradients_past_the_root_of_the_largest_float_are_no_bad_ones(
    member: Member,
) -> None:
    start = parameters(torch.float64, [(3,)])
    huge = torch.full((3,), 1e200, dtype=torch.float64)
    _, optimizer = run(member, start, [[huge]], clip_norm=1.0, nonfinite="raise")
    assert optimizer.skipped_steps == 0
    assert optimizer.clipped_steps == 1


@kinds
def test_counts_survive_a_checkpoint(member: Member) -> None:
    start = parameters(shapes=[(3,)])
    params, optimizer = run(member, start, gradients(start, 3), clip_norm=1e-3)
    assert optimizer.clipped_steps == 3
    other = member(twins(params), clip_norm=1e-3)
    other.load_state_dict(optimizer.state_dict())
    assert other.clipped_steps == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_sum_of_squares_depends_on_no_thread_count(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = [1, 4095, 4097, 40_000, (1 << 20) + 5_001]
    grads = [torch.randn(n, generator=generator, dtype=dtype) for n in sizes]
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(square_sums(grads))
    finally:
        torch.set_num_threads(before)
    assert same_bits(found[0], found[1])
    assert same_bits(found[0], found[2])
    for grad, total in zip(grads, found[0], strict=True):
        exact = math.fsum((grad.double() ** 2).tolist())
        assert float(total) == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("member", [Adam, AdaX], ids=lambda m: m.__name__)
def test_a_gradient_spike_late_in_a_run_is_held(member: Member) -> None:
    # After 100,000 steps AdaX's newest square weighs 4.5e-9: a gradient of a million
    # times the usual size makes a step some 1,500 times the usual.
    start = parameters(torch.float64, [(4,)])
    usual, spike = torch.full((4,), 1e-2, dtype=torch.float64), 1e4

    def moved(**options: float) -> float:
        params, optimizer = run(member, start, [[usual]], lr=1e-3, **options)
        for state in optimizer.state.values():
            state["step"] = 100_000
        before = params[0].detach().clone()
        drive(optimizer, params, [[torch.full_like(usual, spike)]])
        return float((params[0].detach() - before).abs().max())

    held = moved(clip_norm=0.1)
    assert held < 2 * 1e-3
    if member is AdaX:
        assert moved() > 100 * held
