"""A complex parameter is stepped as its real and imaginary parts are."""

from __future__ import annotations

import pytest
import torch
from tests.torch.cases import (
    EAGER,
    PATHS,
    Member,
    Options,
    branches,
    drive,
    gradients,
    kinds,
    parameters,
    paths,
    run,
    same_bits,
)

SHAPES = [(3, 2), (), (0,), (5,)]
dtypes = pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)


@branches
@paths({name: PATHS[name] for name in (*EAGER, "capturable loop")})
@dtypes
def test_complex_is_real_and_imaginary_bit_for_bit(
    member: Member, options: Options, flags: Options, dtype: torch.dtype
) -> None:
    start = parameters(dtype, SHAPES)
    grads = gradients(start, 4)
    params, optimizer = run(member, start, grads, maximize=True, **options, **flags)
    parts = [torch.view_as_real(p.detach()).clone().requires_grad_() for p in start]
    real_grads = [[torch.view_as_real(g) for g in step] for step in grads]
    reals, other = run(member, parts, real_grads, maximize=True, **options, **flags)
    for param, real in zip(params, reals, strict=True):
        assert same_bits(torch.view_as_real(param.detach()), real.detach())
        for name in ("momentum", "square"):
            kept = optimizer.state[param][name]
            assert kept.dtype == dtype
            assert same_bits(torch.view_as_real(kept), other.state[real][name])


@kinds
@paths()
def test_complex_gradients_may_be_lazy_conjugates(
    member: Member, flags: Options
) -> None:
    start = parameters(torch.complex64, [(4,)])
    grads = gradients(start, 3)
    expected, _ = run(member, start, grads, **flags)
    param = start[0].detach().clone().requires_grad_()
    optimizer = member([param], **flags)
    for (grad,) in grads:
        param.grad = grad.conj_physical().conj()
        assert param.grad.is_conj()
        optimizer.step()
    assert same_bits(param, expected[0])


@kinds
@paths()
def test_complex_slices_leave_their_neighbours(member: Member, flags: Options) -> None:
    table = torch.full((4, 3), 7 + 7j, dtype=torch.complex64)
    param = table[:, 1].detach().requires_grad_()
    optimizer = member([param], **flags)
    drive(optimizer, [param], gradients([param], 2))
    assert (table[:, [0, 2]] == 7 + 7j).all()
    assert (table[:, 1] != 7 + 7j).all()


@kinds
@paths()
def test_a_complex_loss_falls(member: Member, flags: Options) -> None:
    (param,) = parameters(torch.complex64, [(4,)])
    optimizer = member([param], lr=0.02, **flags)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (param - (0.3 - 0.2j)).abs().square().sum()
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    assert losses[-1] < losses[0]
