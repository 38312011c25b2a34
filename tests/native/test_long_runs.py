"""Runs of a million steps, and steps far out."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest
import torch
from tests.native import bounds, kernel
from tests.native.test_fuzz import real
from torch import nn

from mementum.family.memory import Fixed
from mementum.family.reference import State
from mementum.family.rule import SquareOf
from mementum.torch import MEMBERS, AdamW
from mementum.torch.backends import native
from mementum.torch.backends.bucket import Bucket

pytestmark = kernel.needed

STEPS = 1_000_000
# A class's plain average leaves float32 at 887,273 and float64 at 7,098,183, if it is
# AdaX's as published; float32 counts to 2**24, and 32 bits to 2**31.
JUMPS = (887_273, 7_098_183, 2**24 - 1, 2**24, 2**24 + 1, 2**31, 10**9)

members = pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.__name__)


def captured_job(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, int]:
    """Return the job that the backend makes of a bucket, and its library's entry."""
    jobs: list[bytes] = []
    library = native.library()
    assert library is not None

    class Spy:
        def __getattr__(self, name: str) -> object:
            return getattr(library, name)

        def mementum_step(self, job: object) -> int:
            jobs.append(bytes(job._obj))  # type: ignore[attr-defined]
            return 0

    with monkeypatch.context() as patched:
        patched.setattr(native, "library", Spy)
        kernel.update(kernel.ADAMW, bucket)
    return jobs[0], ctypes.cast(library.mementum_step, ctypes.c_void_p).value or 0


@members
def test_a_million_float32_steps_keep_the_square_of_a_constant_gradient(
    member: type[AdamW], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The closed form of the mean of what never changes, through the kernel itself."""
    grad = torch.tensor([0.3, -1.7, 1e-3, 40.0, -2e-6, 0.5, 1.0])
    rule = member.recipe.rule(member.recipe.defaults | {"weight_decay": 0.0})
    p, m, v, k = (torch.zeros(len(grad)) for _ in range(4))
    row = (p, grad, m, v, k) if rule.peak else (p, grad, m, v)
    own = kernel.bucket([row])
    template, entry = captured_job(own, monkeypatch)
    step = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(entry)
    job = np.frombuffer(bytearray(template), dtype=np.uint8).copy()
    # What the template's columns point at lives as long as this list.
    columns = [
        (column, ctypes.c_int64(row[i].data_ptr()))
        for i, column in enumerate("pgmvk"[: len(row)])
    ]
    columns.append(("elements", ctypes.c_int64(len(grad))))
    for column, value in columns:
        offset = getattr(native._Job, column).offset
        job[offset : offset + 8] = np.frombuffer(
            ctypes.c_int64(ctypes.addressof(value)), dtype=np.uint8
        )
    chunk = 10_000
    jobs = np.tile(job, (chunk, 1))
    places = [jobs.ctypes.data + i * job.size for i in range(chunk)]
    for first in range(1, STEPS + 1, chunk):
        t = np.arange(first, first + chunk, dtype=np.float64)
        numbers = np.broadcast_arrays(*rule.at(t, 1e-6, np), t)[:-1]
        jobs[:, :96] = np.ascontiguousarray(np.stack(numbers, 1)).view(np.uint8)
        for place in places:
            step(place)
    g = real(grad)
    square = g**2 + rule.eps_in
    assert all(tensor.isfinite().all() for tensor in row)
    # A mean that still approaches its sample stops where its weight times what it
    # lacks is half an ulp: from the first step there is nothing to approach, unless
    # the mean starts at zero, uncorrected, or its sample is itself a mean.
    approaches = isinstance(rule.square, Fixed) or rule.square_of is SquareOf.MOMENTUM
    rtol = 2.0**-24 / rule.square.weight(STEPS) if approaches else 1e-6
    np.testing.assert_allclose(real(v), square, rtol=rtol)
    np.testing.assert_allclose(real(m), g, rtol=2.0**-24 / rule.momentum.weight(STEPS))
    if rule.peak:
        np.testing.assert_allclose(real(k), square, rtol=rtol)


@members
@pytest.mark.parametrize("t", JUMPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_step_far_out_is_the_references(
    member: type[AdamW], t: int, dtype: torch.dtype
) -> None:
    rng = np.random.default_rng(t)

    def drawn() -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(100)).to(dtype)

    param = nn.Parameter(drawn())
    optimizer = member([param])
    rule = member.recipe.rule(member.recipe.defaults)
    kept = {"step": t - 1, "momentum": drawn(), "square": drawn() ** 2}
    if rule.peak:
        kept["peak"] = drawn() ** 2
    zeros = torch.zeros_like(kept["square"])
    moments = (kept["momentum"], kept["square"], kept.get("peak", zeros))
    before = State(*(real(tensor).copy() for tensor in (param, *moments)))
    optimizer.state[param] = kept
    param.grad = drawn()
    optimizer.step()
    assert "run by native" in optimizer.explain()
    assert optimizer.state[param]["step"] == t
    c = rule.at(t, member.recipe.lr)
    assert all(map(math.isfinite, c))
    expected, errors = bounds.step(
        c,
        real(param.grad),
        before,
        peak=rule.peak,
        moments=dtype,
        parameter=dtype,
        gradient=dtype,
    )
    after = State(*(real(tensor) for tensor in (param, *moments)))
    for name, found, right, bound in zip(
        State._fields, after, expected, errors, strict=True
    ):
        assert (abs(found - right) <= bound).all(), name


@members
def test_an_ordinary_step_is_right_to_two_ulps_and_its_moments_to_one(
    member: type[AdamW],
) -> None:
    """The plain form of the bound, where nothing cancels and no moment leaps."""
    rng = np.random.default_rng(7)
    n = 20_000

    def drawn(low: float, high: float) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(low, high, n)).float()

    rule = member.recipe.rule(member.recipe.defaults | {"weight_decay": 0.0})
    t, lr = 1_000, 1e-3
    p, g, m, v = drawn(1, 8), drawn(1, 2), drawn(1, 2), drawn(1, 4)
    k = v * 1.25
    row = (p, g, m, v, k) if rule.peak else (p, g, m, v)
    before = State(*(real(tensor).copy() for tensor in (p, m, v, k)))
    c = rule.at(t, lr)
    kernel.update(c, kernel.bucket([row]))
    expected, _ = bounds.step(
        c, real(g), before, peak=rule.peak,
        moments=torch.float32, parameter=torch.float32, gradient=torch.float32,
    )  # fmt: skip
    for tensor, right, ulps in (
        (p, expected.p, 2),
        (m, expected.m, 1),
        (v, expected.v, 1),
    ):
        ulp = np.spacing(abs(right).astype(np.float32)).astype(np.float64)
        assert (abs(real(tensor) - right) <= ulps * ulp).all()
