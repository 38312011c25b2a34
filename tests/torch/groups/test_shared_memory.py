"""Parameters that own an element twice are refused by name; others are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.torch.cases import Member, bits_of, kinds, parameters, run, same_bits
from torch import Tensor

from mementum.torch import Adam
from mementum.torch.groups import parameter_checks

Build = Callable[[], list[Tensor]]


def leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


OVERLAPPING: dict[str, Build] = {
    "the same values twice": lambda: [t := torch.randn(6), t.view(2, 3)],
    "a part of another": lambda: [t := torch.randn(6), t[2:4]],
    "halves that meet": lambda: [(t := torch.randn(6))[:4], t[3:]],
    "a row and a column": lambda: [(t := torch.randn(3, 3))[1], t[:, 1]],
    "columns of one number in common": lambda: [
        (t := torch.randn(12))[0:12:2],
        t[4:12:3],
    ],
    "another dtype": lambda: [(t := torch.randn(4)), t.view(torch.float16)[3:5]],
    "real parts of a complex": lambda: [
        t := torch.randn(4, dtype=torch.complex64),
        t.real,
    ],
}
DISJOINT: dict[str, Build] = {
    "columns": lambda: list(torch.randn(5, 4).unbind(1)),
    "halves": lambda: list(torch.randn(8).split(4)),
    "real and imaginary parts": lambda: [
        (t := torch.randn(4, dtype=torch.complex64)).real,
        t.imag,
    ],
    "checkered": lambda: [(t := torch.randn(9))[::2], t[1::2]],
    "a block and its frame": lambda: [(t := torch.randn(5, 5))[1:4, 1:4], t[0], t[4]],
    "empty parts": lambda: [t := torch.randn(4), t[2:2]],
}


@kinds
@pytest.mark.parametrize("build", OVERLAPPING.values(), ids=OVERLAPPING.keys())
def test_parameters_that_share_memory_are_refused(member: Member, build: Build) -> None:
    first, second = (leaf(part) for part in build())
    for pair in ([first, second], [second, first]):
        with pytest.raises(ValueError, match=rf"^{member.__name__}: .*share memory"):
            member(pair)
        with pytest.raises(ValueError, match=r"parameter 0 of group [01] and"):
            member([{"params": [pair[0]]}, {"params": [pair[1]]}])
    with pytest.raises(
        ValueError, match=r"'(en|de)coder' and parameter '(en|de)coder'"
    ):
        member([("encoder", first), ("decoder", second)])


@pytest.mark.parametrize("build", DISJOINT.values(), ids=DISJOINT.keys())
def test_neighbours_in_one_storage_are_accepted(build: Build) -> None:
    params = [leaf(part) for part in build()]
    optimizer = Adam(params)
    alone = [leaf(p.clone()) for p in params]
    other = Adam(alone)
    for p, q in zip(params, alone, strict=True):
        p.grad, q.grad = torch.ones_like(p), torch.ones_like(q)
    optimizer.step()
    other.step()
    assert same_bits(params, alone)


REPEATING = {
    "expanded": lambda: torch.randn(3, 1).expand(3, 4),
    "expanded from one": lambda: torch.randn(()).expand(5),
    "unfolded": lambda: torch.randn(8).as_strided((3, 4), (2, 1)),
    "overlapping strides": lambda: torch.randn(13).as_strided((4, 3), (2, 3)),
}
APART = {
    "expanded of size one": lambda: torch.randn(3, 1).expand(3, 1),
    "a stride of zero over one": lambda: torch.randn(4).as_strided((1, 4), (0, 1)),
    "interleaved strides": lambda: torch.randn(20).as_strided((3, 2), (2, 3)),
    "empty": lambda: torch.randn(1).expand(0),
}


@kinds
@pytest.mark.parametrize("build", REPEATING.values(), ids=REPEATING.keys())
def test_a_parameter_that_repeats_an_element_is_refused(
    member: Member, build: Callable[[], Tensor]
) -> None:
    param = leaf(build())
    with pytest.raises(
        ValueError, match=rf"^{member.__name__}: parameter 0 of group 0"
    ):
        member([param])
    with pytest.raises(ValueError, match=r"parameter 'head\.bias'"):
        member([("head.bias", param)])


@pytest.mark.parametrize("build", APART.values(), ids=APART.keys())
def test_strides_that_repeat_nothing_are_accepted(build: Callable[[], Tensor]) -> None:
    Adam([leaf(build())])


@kinds
def test_a_parameter_listed_twice_is_refused(member: Member) -> None:
    (param,) = parameters(shapes=[(3,)])
    with (
        pytest.raises(ValueError, match="again"),
        pytest.warns(UserWarning, match="duplicate parameters"),
    ):
        member([param, param])
    with pytest.raises(ValueError, match="more than one parameter group"):
        member([{"params": [param]}, {"params": [param]}])


@kinds
def test_a_refused_group_leaves_the_optimizer_unchanged(member: Member) -> None:
    params, optimizer = run(member, start := parameters(), [start])
    before = bits_of(optimizer)
    good = torch.ones(3, requires_grad=True)
    bad_groups = [
        {"params": [leaf(params[0][1:])]},
        {"params": [torch.ones(1).expand(3).detach().requires_grad_()]},
        {"params": [good], "lr": -1.0},
        {"params": [good], "eps": float("nan")},
        {"params": [good], "maximize": "yes"},
        {"params": [good], "fused": True, "foreach": True},
        {"params": [good], "fused": True, "capturable": True},
        {"params": [good.to(torch.float8_e4m3fn).requires_grad_()]},
        {"params": [("named", good)]},
        {"params": [good, params[0]]},
        {"params": [good * 1]},
        {"params": ["no tensor"]},
    ]
    for group in bad_groups:
        with pytest.raises((TypeError, ValueError, NotImplementedError)):
            optimizer.add_param_group(group)
        assert len(optimizer.param_groups) == 1
        assert same_bits(bits_of(optimizer), before)
    optimizer.add_param_group({"params": [good]})
    optimizer.step()


@kinds
def test_what_is_no_group_is_refused_as_torch_refuses_it(member: Member) -> None:
    optimizer = member([torch.ones(3, requires_grad=True)])
    with pytest.raises(TypeError, match="param_group must be a dict"):
        optimizer.add_param_group([torch.ones(3, requires_grad=True)])
    with pytest.raises(TypeError, match="ordered collection"):
        optimizer.add_param_group({"params": {torch.ones(3, requires_grad=True)}})


LAZY_VIEWS = {
    "a conjugate": lambda: torch.randn(3, dtype=torch.complex64).conj(),
    "a negative": lambda: torch.randn(3, dtype=torch.complex64).conj().imag,
}


@pytest.mark.parametrize("build", LAZY_VIEWS.values(), ids=LAZY_VIEWS.keys())
def test_a_lazy_view_is_refused(build: Callable[[], Tensor]) -> None:
    # A step would write into a copy of it.
    param = leaf(build())
    assert param.is_conj() or param.is_neg()
    with pytest.raises((TypeError, ValueError), match=r"^Adam: parameter 0 of group 0"):
        Adam([param])


def test_columns_are_told_apart_without_a_map_of_their_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 64 columns are 2,016 pairs: a map for each makes construction quadratic in bytes.
    maps = []
    original = parameter_checks._bytes
    monkeypatch.setattr(
        parameter_checks, "_bytes", lambda *args: maps.append(1) or original(*args)
    )
    Adam([leaf(column) for column in torch.randn(64, 64).unbind(1)])
    assert len(maps) <= 2 * 64


def test_many_groups_are_checked_in_linear_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extents = []
    original = parameter_checks._extent
    monkeypatch.setattr(
        parameter_checks, "_extent", lambda *args: extents.append(1) or original(*args)
    )
    Adam([{"params": [torch.ones(2, requires_grad=True)]} for _ in range(60)])
    assert len(extents) <= 5 * 60


def test_the_default_device_does_not_matter() -> None:
    columns = [leaf(column) for column in torch.randn(4, 2).unbind(1)]
    with torch.device("meta"):
        optimizer = Adam(columns)
        for column in columns:
            column.grad = torch.ones(4, device="cpu")
        optimizer.step()
    assert optimizer.state[columns[0]]["momentum"].device.type == "cpu"


def test_fake_parameters_are_taken_without_looking_at_their_memory() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        param = torch.randn(3, requires_grad=True)
        optimizer = Adam([param])
        param.grad = torch.randn(3)
        optimizer.step()
        assert optimizer.state[param]["momentum"].shape == (3,)
