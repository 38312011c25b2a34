"""The bits of a step depend on nothing but its numbers."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from tests.native import kernel
from tests.native.kernel import ADAMW, EVERY_TERM, bucket, copies, rows
from torch import Tensor

from mementum.family.rule import Coefficients
from mementum.torch import MEMBERS
from mementum.torch.backends import loop, native

pytestmark = kernel.needed

THREADS = range(1, 17)
# A new thread is given 131,072 elements at least, so that 16 want two million.
LARGE = (1 << 21) + 12_345
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
NUMBERS = {"adamw": ADAMW, "every term": EVERY_TERM}


@pytest.fixture(params=native.THREADS)
def pool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the kernel: torch's threads, or its own."""
    monkeypatch.setattr(native, "asks_for_own_threads", lambda: request.param == "own")


@pytest.fixture
def threads_restored() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def isas() -> list[int]:
    best = native.isa() if native.library() else 0
    return list(range(best + 1))


def same(a: list[tuple[Tensor, ...]], b: list[tuple[Tensor, ...]]) -> bool:
    return all(
        torch.equal(x, y)
        for one, other in zip(a, b, strict=True)
        for x, y in zip(one, other, strict=True)
    )


def stepped(
    c: Coefficients, given: list[tuple[Tensor, ...]], threads: int = 1
) -> list[tuple[Tensor, ...]]:
    own = copies(given)
    torch.set_num_threads(threads)
    kernel.update(c, bucket(own))
    return own


def by_loop(
    c: Coefficients, given: list[tuple[Tensor, ...]]
) -> list[tuple[Tensor, ...]]:
    own = copies(given)
    kernel.update(c, bucket(own), loop)
    return own


@pytest.mark.usefixtures("threads_restored", "pool")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_large_step_is_the_same_on_any_number_of_threads(dtype: torch.dtype) -> None:
    moments = torch.promote_types(dtype, torch.float32)
    given = rows((LARGE,), param=dtype, grad=dtype, moments=moments, peak=True)
    expected = by_loop(EVERY_TERM, given)
    for threads in THREADS:
        assert same(stepped(EVERY_TERM, given, threads), expected), threads


@pytest.mark.usefixtures("threads_restored", "pool")
def test_a_transposed_step_is_the_same_on_any_number_of_threads() -> None:
    ((p, g, m, v),) = rows((1_500, 1_499))
    given = [(p.t(), g.t().contiguous(), m.t(), v.t().contiguous())]
    expected = by_loop(ADAMW, given)
    for threads in THREADS:
        assert same(stepped(ADAMW, given, threads), expected), threads


@pytest.mark.usefixtures("threads_restored", "pool")
def test_threads_may_part_anywhere_in_many_small_tensors() -> None:
    # Ranges of threads begin and end inside tensors, whose sizes divide nothing.
    given = rows((1_037,), 1_500) + rows((3,), 100, seed=2) + rows((70_001,), 9, seed=3)
    expected = by_loop(ADAMW, given)
    for threads in THREADS:
        assert same(stepped(ADAMW, given, threads), expected), threads


@pytest.mark.usefixtures("threads_restored", "pool")
@pytest.mark.parametrize(
    "size", [1, 15, 1_024, 1 << 16, 1 << 17, (1 << 18) + 1, 300_007]
)
def test_small_steps_are_the_same_on_any_number_of_threads(size: int) -> None:
    given = rows((size,), peak=True)
    expected = stepped(EVERY_TERM, given)
    for threads in (*THREADS, 1_000):
        assert same(stepped(EVERY_TERM, given, threads), expected), threads


@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize("numbers", NUMBERS.values(), ids=NUMBERS.keys())
@pytest.mark.parametrize("param", DTYPES, ids=str)
@pytest.mark.parametrize("grad", DTYPES, ids=str)
@pytest.mark.parametrize("peak", [False, True], ids=["", "peak"])
def test_instruction_sets_agree_in_every_bit(
    numbers: Coefficients,
    param: torch.dtype,
    grad: torch.dtype,
    peak: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for moments in (torch.float32, torch.float64):
        dtypes = {"param": param, "grad": grad, "moments": moments}
        given = rows((2_100,), peak=peak, **dtypes)
        strided = [tuple(x.view(70, 30).t() for x in rows((2_100,), **dtypes)[0])]
        if peak:
            strided = [(*row, row[3] * 2) for row in strided]
        for layout in (given, strided):
            expected = by_loop(numbers, layout)
            for isa in isas():
                monkeypatch.setattr(native, "isa", lambda isa=isa: isa)
                assert same(stepped(numbers, layout), expected), native.ISAS[isa]


@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_short_numbers_are_read_and_written_by_their_standard(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All values are read, and floats beside every tie written, as torch does."""
    every = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(dtype)
    every = every[every.isfinite()]
    # The momentum becomes the gradient, and a parameter of zero that times -1.
    moved = Coefficients(1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1)
    ties = every.float()
    up = torch.nextafter(ties, torch.tensor(torch.inf))
    halves = ties[:-1] / 2 + ties[1:] / 2
    values = torch.cat([ties, up, halves, torch.nextafter(halves, ties[1:])])
    zeros = torch.zeros(len(values))
    for isa in isas():
        monkeypatch.setattr(native, "isa", lambda isa=isa: isa)
        param = zeros.to(dtype)
        row = (param, -values, zeros.clone(), zeros.clone())
        kernel.update(moved, bucket([row]))
        assert torch.equal(param, values.to(dtype)), native.ISAS[isa]
        read = (torch.zeros(len(every)), every, every.float() * 0, every.float() * 0)
        kernel.update(moved, bucket([read]))
        assert torch.equal(read[2], every.float()), native.ISAS[isa]


@pytest.mark.usefixtures("threads_restored", "pool")
def test_threads_treat_denormals_as_their_caller_does() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor always keeps denormals")
    try:
        (row,) = rows((LARGE,))
        given = [tuple(tensor * 1e-38 for tensor in row)]
        expected = stepped(ADAMW, given)
        for threads in (2, 5):
            assert same(stepped(ADAMW, given, threads), expected)
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.process
def test_the_environment_may_ask_for_an_older_instruction_set() -> None:
    script = """
        import torch
        from mementum.torch import AdamW
        from mementum.torch.backends import native
        generator = torch.Generator().manual_seed(1)
        p = torch.nn.Parameter(torch.randn(5_000, generator=generator))
        optimizer = AdamW([p])
        for _ in range(5):
            p.grad = torch.randn(5_000, generator=generator)
            optimizer.step()
        print(native.ISAS[native.isa()], p.detach().view(torch.int32).sum().item())
    """
    printed = [
        kernel.output_of(script, MEMENTUM_ISA=native.ISAS[isa]).split()
        for isa in isas()
    ]
    assert [isa for isa, _ in printed] == [native.ISAS[isa] for isa in isas()]
    assert len({sums for _, sums in printed}) == 1


def test_an_unknown_instruction_set_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEMENTUM_ISA", "mmx")
    native.isa.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"MEMENTUM_ISA is 'mmx'; it is one of"):
            native.isa()
    finally:
        monkeypatch.delenv("MEMENTUM_ISA")
        native.isa.cache_clear()


@pytest.mark.usefixtures("threads_restored", "pool")
def test_optimizers_in_threads_of_python_do_not_meet() -> None:
    """Four at once, each with parameters of its own, are each alone."""
    torch.set_num_threads(3)

    def train(place: int) -> Tensor:
        generator = torch.Generator().manual_seed(place)
        params = [
            torch.nn.Parameter(torch.randn(size, generator=generator))
            for size in (300_000, 1_001, 17)
        ]
        params.append(torch.nn.Parameter(torch.randn(99, 101, generator=generator).t()))
        optimizer = MEMBERS[place]([*params])
        for _ in range(30):
            for p in params:
                p.grad = torch.randn(p.shape, generator=generator)
            optimizer.step()
        return torch.cat([p.detach().reshape(-1) for p in params])

    alone = [train(place) for place in range(4)]
    together: dict[int, Tensor] = {}
    threads = [
        threading.Thread(target=lambda i=i: together.update({i: train(i)}))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(together[i], alone[i]) for i in range(4))
