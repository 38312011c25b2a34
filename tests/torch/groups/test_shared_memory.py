"""Parameters that own an element twice are refused by name; others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from tests.torch.cases import Member, bits_of, kinds, parameters, run, same_bits
from torch import Tensor

from mementum.torch import Adam
from mementum.torch.groups import shared_memory
from mementum.torch.state.formats import FORMATS

STATE_DTYPES = (None, *FORMATS)

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


MANY: dict[str, Callable[[int], list[Tensor]]] = {
    "tensors": lambda n: [torch.randn(3) for _ in range(n)],
    "columns": lambda n: list(torch.randn(6, n).unbind(1)),
    "columns of columns": lambda n: list(torch.randn(4, n, 5).unbind(1)),
    "pairs of columns": lambda n: list(torch.randn(6, 2 * n).split(2, 1)),
    "kernels": lambda n: list(torch.randn(n, 4, 3, 2).flatten(0, 1)[::4]),
    "the last of kernels": lambda n: list(torch.randn(8, 4, 3, n).unbind(3)),
    "tiles": lambda n: [
        tile for rows in torch.randn(n, 30).split(n // 10) for tile in rows.split(3, 1)
    ],
    "every other and every fourth": lambda n: [
        part[start::step]
        for part in torch.randn(n, 16).unbind(0)
        for start, step in ((0, 2), (1, 4), (3, 4))
    ],
    "parts of a complex matrix": lambda n: [
        part
        for column in torch.randn(6, n, dtype=torch.complex64).unbind(1)
        for part in (column.real, column.imag)
    ],
    "freed": lambda n: [freed(torch.randn(3)) for _ in range(n)],
}
many = pytest.mark.parametrize("build", MANY.values(), ids=MANY.keys())


def freed(tensor: Tensor) -> Tensor:
    tensor.untyped_storage().resize_(0)
    return tensor


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the extents that are made, sorted, and drawn on a map of bytes."""
    counts: Counter[str] = Counter()
    crowds, extent = shared_memory._crowds, shared_memory._extent
    drawn = shared_memory._bytes

    def counted_crowds(spans: Any) -> Any:
        spans = list(spans)
        counts["sorted"] += len(spans)
        return crowds(spans)

    def counted_extent(*args: Any) -> Any:
        counts["made"] += 1
        return extent(*args)

    def counted_bytes(*args: Any) -> Any:
        counts["drawn"] += 1
        return drawn(*args)

    monkeypatch.setattr(shared_memory, "_crowds", counted_crowds)
    monkeypatch.setattr(shared_memory, "_extent", counted_extent)
    monkeypatch.setattr(shared_memory, "_bytes", counted_bytes)
    return counts


@many
def test_no_pairs_are_compared(
    build: Callable[[int], list[Tensor]], looks: Counter[str]
) -> None:
    # Only a map of bytes would tell each of n from each other in n steps, for memory.
    params = [leaf(part) for part in build(100)]
    Adam(params)
    assert looks["made"] <= len(params)
    assert looks["sorted"] <= 8 * len(params)
    assert looks["drawn"] == 0


def test_the_column_that_is_listed_again_is_found_among_many(
    looks: Counter[str],
) -> None:
    matrix = torch.randn(6, 100)
    params = [leaf(column) for column in matrix.unbind(1)]
    with pytest.raises(ValueError, match="0 of group 0 and parameter 100 of group 0"):
        Adam([*params, leaf(matrix[:, 0])])
    assert looks["drawn"] <= 4 * len(params)


def test_a_group_that_is_added_is_compared_by_its_own_memory(
    looks: Counter[str],
) -> None:
    params = [leaf(torch.randn(3)) for _ in range(60)]
    optimizer = Adam(params[:1])
    for param in params[1:]:
        optimizer.add_param_group({"params": [param]})
    assert looks["made"] <= 2 * len(params)
    assert looks["sorted"] <= 2 * len(params)


def test_a_parameter_may_have_moved_before_a_group_is_added() -> None:
    first, second = leaf(torch.randn(4)), leaf(torch.randn(4))
    optimizer = Adam([first])
    flat = torch.randn(8)
    first.data = flat[:4]
    optimizer.add_param_group({"params": [second]})
    optimizer.add_param_group({"params": [leaf(flat[4:])]})
    with pytest.raises(ValueError, match="share memory"):
        optimizer.add_param_group({"params": [leaf(flat[3:4])]})


def places(view: Tensor) -> list[int]:
    """Return the bytes of a view, one by one."""
    offsets = torch.zeros(1, dtype=torch.int64)
    for size, stride in zip(view.shape, view.stride(), strict=True):
        offsets = (offsets[:, None] + stride * torch.arange(size)).flatten()
    first, width = view.data_ptr(), view.element_size()
    return [first + int(o) * width + i for o in offsets for i in range(width)]


def drawn_views(random: np.random.Generator) -> list[Tensor]:
    """Return views of one tensor that each own an element once."""
    whole = torch.zeros(240)
    found: list[Tensor] = []
    while len(found) < random.integers(2, 5):
        rank = int(random.integers(1, 4))
        shape = [int(n) for n in random.integers(1, 5, rank)]
        strides = [int(n) for n in random.choice([1, 2, 3, 4, 6, 8, 12, 20], rank)]
        view = whole.as_strided(shape, strides, int(random.integers(0, 24)))
        if random.random() < 0.3:
            view = whole.view(torch.float16).as_strided(
                shape, strides, int(random.integers(0, 48))
            )
        if len(set(places(view))) == len(places(view)):
            found.append(leaf(view))
    return found


def test_memory_is_shared_where_a_byte_is_owned_twice() -> None:
    random, verdicts = np.random.default_rng(5), Counter[bool]()
    for _ in range(600):
        views = drawn_views(random)
        groups: list[dict[str, Any]] = []
        owned: set[int] = set()
        for view in views:
            groups.append({"params": [view]})
            shared = not owned.isdisjoint(places(view))
            verdicts[shared] += 1
            for since in (0, len(groups) - 1):
                with (
                    pytest.raises(ValueError, match="share")
                    if shared
                    else nullcontext()
                ):
                    shared_memory.refuse_shared_memory(groups, since=since)
            if shared:
                break
            owned.update(places(view))
    assert min(verdicts.values()) > 100


def test_the_default_device_does_not_matter() -> None:
    columns = [leaf(column) for column in torch.randn(4, 2).unbind(1)]
    with torch.device("meta"):
        optimizer = Adam(columns)
        for column in columns:
            column.grad = torch.ones(4, device="cpu")
        optimizer.step()
    assert optimizer.state[columns[0]]["momentum"].device.type == "cpu"


MEMORYLESS: dict[str, Build] = {
    "freed": lambda: [freed(torch.randn(8)) for _ in range(2)],
    "freed parts": lambda: [freed(torch.randn(9)[1:]) for _ in range(2)],
    "freed halves": lambda: [freed(half) for half in torch.randn(8).split(4)],
    "on meta": lambda: list(torch.randn(8, device="meta").split(4)),
    "without elements": lambda: [torch.empty(0) for _ in range(2)],
    "empty parts of one": lambda: [(t := torch.randn(4))[2:2], t[2:2]],
    "lazy": lambda: [torch.nn.UninitializedParameter() for _ in range(2)],
    "sparse": lambda: [torch.eye(3).to_sparse() for _ in range(2)],
}


@kinds
@pytest.mark.parametrize("build", MEMORYLESS.values(), ids=MEMORYLESS.keys())
@pytest.mark.parametrize("state_dtype", STATE_DTYPES, ids=str)
def test_parameters_without_memory_share_none(
    member: Member, build: Build, state_dtype: str | None
) -> None:
    first, second, third, fourth = (
        part if isinstance(part, torch.nn.Parameter) else leaf(part)
        for part in (*build(), *build())
    )
    optimizer = member([first, second], state_dtype=state_dtype)
    optimizer.add_param_group({"params": [third]})
    member([{"params": [first, third]}, {"params": [second, fourth]}])
    ordinary = torch.ones(3, requires_grad=True)
    optimizer.add_param_group({"params": [fourth, ordinary]})
    with pytest.raises(ValueError, match="share memory"):
        optimizer.add_param_group({"params": [leaf(ordinary[1:])]})
    ordinary.grad = torch.ones(3)
    optimizer.step()
    assert list(optimizer.state) == [ordinary]


def test_memory_that_came_back_is_looked_at() -> None:
    param = leaf(torch.randn(8))
    half, part, storage = leaf(param[4:]), leaf(param[:2]), param.untyped_storage()
    optimizer = Adam([freed(param)])
    optimizer.add_param_group({"params": [half]})
    storage.resize_(32)
    with pytest.raises(ValueError, match="share memory"):
        optimizer.add_param_group({"params": [part]})


def test_fake_parameters_are_taken_without_looking_at_their_memory() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        param = torch.randn(3, requires_grad=True)
        optimizer = Adam([param])
        param.grad = torch.randn(3)
        optimizer.step()
        assert optimizer.state[param]["momentum"].shape == (3,)
