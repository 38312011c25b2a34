"""Any memory layout of a parameter, and of its gradient, is stepped right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.torch.cases import (
    EAGER,
    PATHS,
    Member,
    Options,
    drive,
    gradients,
    kinds,
    parameters,
    paths,
    run,
    same_bits,
)
from torch import Tensor

from mementum.torch import Adam, AdaX, AMSGrad, Mementum

CANARY = -7.25


class Placed(NamedTuple):
    """A parameter in a storage that holds more than it."""

    param: Tensor
    storage: Tensor

    def untouched(self) -> bool:
        """Whether every number around and between the parameter's is a canary."""
        owned = torch.zeros(self.storage.shape, dtype=torch.bool)
        view = owned.as_strided(
            self.param.shape, self.param.stride(), self.param.storage_offset()
        )
        view.fill_(True)
        return bool((self.storage[~owned] == CANARY).all())


def place(values: Tensor, stride: tuple[int, ...], offset: int) -> Placed:
    """Return the values as a parameter with these strides, canaries all around."""
    reach = sum((n - 1) * s for n, s in zip(values.shape, stride, strict=True))
    size = offset + max(reach, 0) + 1 + 5
    storage = torch.full((size,), CANARY, dtype=values.dtype)
    view = storage.as_strided(values.shape, stride, offset)
    view.copy_(values)
    return Placed(view.requires_grad_(), storage)


# The strides of a (2, 3, 4, 5) tensor, and where it starts.
LAYOUTS: dict[str, tuple[tuple[int, ...], int]] = {
    "contiguous": ((60, 20, 5, 1), 0),
    "offset": ((60, 20, 5, 1), 7),
    "transposed": ((60, 20, 1, 4), 3),
    "reversed": ((1, 2, 6, 24), 0),
    "channels last": ((60, 1, 15, 3), 2),
    "sliced last": ((120, 40, 10, 2), 1),
    "sliced first": ((120, 20, 5, 1), 1),
    "gaps between rows": ((91, 29, 7, 1), 4),
    "gaps everywhere": ((400, 131, 31, 6), 5),
    "permuted gaps": ((11, 401, 131, 24), 5),
}
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
SHAPE = (2, 3, 4, 5)

RESTRIDED: dict[str, Callable[[Tensor], Tensor]] = {
    "like the parameter": lambda g: g,
    "contiguous": lambda g: g.contiguous(),
    "channels last": lambda g: g.contiguous(memory_format=torch.channels_last),
    "reversed": lambda g: g.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
    "sliced": lambda g: torch.stack([g, g + 1], dim=-1)[..., 0],
    "offset": lambda g: torch.cat([g.new_zeros(3), g.reshape(-1)])[3:].view(SHAPE),
}


@kinds
@layouts
@paths({name: PATHS[name] for name in (*EAGER, "capturable default")})
def test_a_layout_changes_nothing_and_nothing_around_it_is_written(
    member: Member, layout: tuple[tuple[int, ...], int], flags: Options
) -> None:
    (plain,) = parameters(shapes=[SHAPE])
    grads = gradients([plain], 4)
    (expected,), _ = run(member, [plain], grads, **flags)
    placed = place(plain.detach(), *layout)
    optimizer = member([placed.param], **flags)
    drive(optimizer, [placed.param], grads)
    assert same_bits(placed.param, expected)
    assert placed.untouched()


@kinds
@layouts
@pytest.mark.parametrize("restrided", RESTRIDED.values(), ids=RESTRIDED.keys())
def test_a_gradients_strides_change_nothing(
    member: Member,
    layout: tuple[tuple[int, ...], int],
    restrided: Callable[[Tensor], Tensor],
) -> None:
    (plain,) = parameters(shapes=[SHAPE])
    grads = gradients([plain], 2)
    (expected,), _ = run(member, [plain], grads)
    for flags in EAGER.values():
        placed = place(plain.detach(), *layout)
        optimizer = member([placed.param], **flags)
        for (grad,) in grads:
            placed.param.grad = restrided(grad)
            optimizer.step()
        assert same_bits(placed.param, expected)
        assert placed.untouched()


@kinds
@paths()
def test_an_expanded_gradient_is_every_elements(member: Member, flags: Options) -> None:
    (plain,) = parameters(shapes=[SHAPE])
    row = torch.linspace(-1, 1, 5)
    full = [[row.expand(SHAPE).contiguous()]] * 3
    (expected,), _ = run(member, [plain], full, **flags)
    param = plain.detach().clone().requires_grad_()
    optimizer = member([param], **flags)
    for _ in range(3):
        param.grad = row.expand(SHAPE)
        optimizer.step()
    assert same_bits(param, expected)
    assert same_bits(row, torch.linspace(-1, 1, 5))


@kinds
@paths()
@pytest.mark.parametrize("position", range(4))
def test_an_empty_parameter_at_any_place_changes_nothing(
    member: Member, flags: Options, position: int
) -> None:
    full = parameters(shapes=[(3,), (), (2, 2)])
    grads = gradients(full, 3)
    expected, _ = run(member, full, grads, **flags)
    empty = torch.zeros(2, 0, requires_grad=True)
    listed = [*full[:position], empty, *full[position:]]
    with_empty = [[*s[:position], torch.zeros(2, 0), *s[position:]] for s in grads]
    params, optimizer = run(member, listed, with_empty, **flags)
    assert int(optimizer.state[params.pop(position)]["step"]) == 3
    assert same_bits(params, expected)


@kinds
@paths()
def test_only_empty_parameters_can_be_stepped(member: Member, flags: Options) -> None:
    empty = [torch.zeros(0, requires_grad=True), torch.zeros(3, 0, requires_grad=True)]
    params, optimizer = run(
        member, empty, [[torch.zeros_like(p) for p in empty]], **flags
    )
    assert [int(optimizer.state[p]["step"]) for p in params] == [1, 1]


@kinds
@paths(EAGER)
def test_moments_of_a_dense_parameter_lie_as_it_does(
    member: Member, flags: Options
) -> None:
    (plain,) = parameters(shapes=[SHAPE])
    param = (
        plain.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    )
    optimizer = member([param], **flags)
    drive(optimizer, [param], gradients([param], 1))
    for name in ("momentum", "square"):
        assert optimizer.state[param][name].stride() == param.stride()


@st.composite
def placements(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Draw a shape, strides that overlap nowhere, and an offset."""
    shape = draw(st.lists(st.integers(0, 4), max_size=5))
    order = draw(st.permutations(range(len(shape))))
    strides = [1] * len(shape)
    reach = draw(st.integers(1, 3))
    for dim in order:
        strides[dim] = reach
        reach = reach * max(shape[dim], 1) + draw(st.integers(0, 3))
    return tuple(shape), tuple(strides), draw(st.integers(0, 9))


def _dtypes() -> Iterator[torch.dtype]:
    yield from (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    placed=st.lists(placements(), min_size=1, max_size=4),
    dtype=st.sampled_from(list(_dtypes())),
    member=st.sampled_from([Adam, AMSGrad, AdaX, Mementum]),
    flags=st.sampled_from(list(PATHS.values())),
    flip=st.booleans(),
)
def test_no_layout_is_stepped_wrong(
    placed: list[tuple[tuple[int, ...], tuple[int, ...], int]],
    dtype: torch.dtype,
    member: Member,
    flags: Options,
    flip: bool,
) -> None:
    plain = parameters(dtype, [shape for shape, _, _ in placed])
    grads = gradients(plain, 2)
    expected, _ = run(member, plain, grads, **flags)
    found = [
        place(p.detach(), stride, offset)
        for p, (_, stride, offset) in zip(plain, placed, strict=True)
    ]
    params = [one.param for one in found]
    optimizer = member(params, **flags)
    for step in grads:
        for param, grad in zip(params, step, strict=True):
            turned = tuple(reversed(range(grad.dim())))
            other = grad.permute(turned).contiguous().permute(turned)
            param.grad = other if flip else grad.clone()
        optimizer.step()
    assert same_bits(params, expected)
    assert all(one.untouched() for one in found if one.param.numel())
