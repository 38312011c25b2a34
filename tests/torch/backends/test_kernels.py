"""Every kernel takes any twelve numbers, also those that no recipe has yet."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.torch.cases import same_bits
from torch import Tensor

from mementum.family.reference import State, update
from mementum.family.rule import Coefficients
from mementum.torch import AdaX, backends
from mementum.torch.backends import BACKENDS, Backend, choose_for_sums, native
from mementum.torch.backends.bucket import Bucket

_FREE = {"fused": None, "foreach": None, "capturable": False, "differentiable": False}
KERNELS = [b for b in BACKENDS if b.refuses(_FREE, torch.zeros(1)) is None]
kernels = pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)

factor = st.sampled_from([0.0, 1.0, -1.0, 0.7, -2.3])
share = st.sampled_from([0.0, 1.0, 0.1, 1e-7])
term = st.sampled_from([0.0, 1e-3, 0.4])
NUMBERS = st.builds(
    Coefficients,
    scale=st.sampled_from([1.0, -1.0, 0.25]),
    pull=term,
    take_m=share,
    square_g=factor,
    square_m=factor,
    take_v=share,
    eps_in=term,
    eps_root=term,
    eps_out=st.sampled_from([1e-8, 0.3]),
    shrink=term,
    step_g=factor,
    step_m=factor,
)


def drawn(seed: int, dtype: torch.dtype, *, peak: bool) -> list[Tensor]:
    """Return p, g, m, v and, where there is one, k."""
    generator = torch.Generator().manual_seed(seed)
    p, g, m, v, k = torch.randn(5, 37, generator=generator, dtype=torch.float64)
    tensors = [p, g, m, v**2, k**2] if peak else [p, g, m, v**2]
    return [tensor.to(dtype) for tensor in tensors]


def stepped(
    kernel: Backend, c: Coefficients, tensors: list[Tensor], *, peak: bool
) -> list[Tensor]:
    """Return the tensors after a step of this kernel."""
    p, g, m, v, *k = [tensor.clone() for tensor in tensors]
    state = {"step": 0, "momentum": m, "square": v, **({"peak": k[0]} if k else {})}
    bucket = Bucket(step=1, indices=[0], slots=[0])
    bucket.fetch([p], [g], [state], peak=peak)
    kernel.ready(bucket)
    kernel.update(c, bucket)
    assert same_bits(g, tensors[1])
    return [p, m, v, *k]


@kernels
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(c=NUMBERS, peak=st.booleans(), seed=st.integers(0, 99))
def test_a_kernel_is_the_reference_bit_for_bit(
    kernel: Backend, c: Coefficients, peak: bool, seed: int
) -> None:
    tensors = drawn(seed, torch.float64, peak=peak)
    p, g, m, v, *k = (tensor.numpy() for tensor in tensors)
    state = State(p, m, v, k[0] if peak else np.zeros_like(p))
    expected = update(c, g, state, peak=peak)
    found = stepped(kernel, c, tensors, peak=peak)
    for a, b in zip(found, expected, strict=False):
        assert np.array_equal(a.numpy(), b, equal_nan=True)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    c=NUMBERS,
    peak=st.booleans(),
    seed=st.integers(0, 99),
    half=st.sampled_from([None, torch.bfloat16, torch.float16]),
)
def test_kernels_agree_in_float32_bit_for_bit(
    c: Coefficients, peak: bool, seed: int, half: torch.dtype | None
) -> None:
    tensors = drawn(seed, torch.float32, peak=peak)
    if half is not None:
        tensors[:2] = [tensor.to(half) for tensor in tensors[:2]]
    ends = [stepped(kernel, c, tensors, peak=peak) for kernel in KERNELS]
    for end in ends[1:]:
        for a, b in zip(end, ends[0], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


@kernels
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str
)
def test_every_kernel_adds_up_squares(kernel: Backend, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(5,), (), (0,), (70, 90)]
    grads = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
    grads.append(grads[-1].T)
    sums = kernel.square_sums(grads)
    assert sums.dtype == torch.float64
    for grad, found in zip(grads, sums.tolist(), strict=True):
        exact = math.fsum((grad.double() ** 2).flatten().tolist())
        # At most 6,300 additions of positive float64 numbers.
        assert found == pytest.approx(exact, rel=6300 * 2**-52)


def test_the_fastest_kernel_that_reads_all_gradients_adds_their_squares() -> None:
    here, elsewhere = torch.ones(3), torch.ones(3, device="meta")
    assert choose_for_sums([here]) is KERNELS[0]
    assert choose_for_sums([here, elsewhere]).device is None


class Elsewhere:
    """A path for another device, that serves nobody."""

    name, device = "elsewhere", "meta"

    def refuses(self, flags: Any, param: Tensor) -> str | None:
        return "elsewhere nothing is served"


@pytest.mark.parametrize(
    ("device", "reason"),
    [("meta", "but elsewhere nothing is served;"), ("cpu", "but differentiable is")],
)
def test_a_refusal_names_the_path_of_this_device(
    monkeypatch: pytest.MonkeyPatch, device: str, reason: str
) -> None:
    monkeypatch.setattr(backends, "BACKENDS", (native, Elsewhere(), *BACKENDS[1:]))
    monkeypatch.setattr(native, "library", lambda: native)
    param = torch.ones(3, device=device)
    flags = AdaX([param]).param_groups[0] | {"fused": True, "differentiable": True}
    with pytest.raises(NotImplementedError, match=reason):
        backends.choose(flags, param)
