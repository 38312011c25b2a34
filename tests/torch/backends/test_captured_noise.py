"""Noise of a step that is counted on the device: the bits of one that is not."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.torch.cases import (
    CAPTURABLE,
    COMPILED,
    TORCHS,
    Member,
    Options,
    bits_of,
    drive,
    give,
    gradients,
    kinds,
    members,
    parameters,
    paths,
    run,
    same_bits,
    with_gaps,
)
from tests.torch.step.test_capturable import NothingIsRead
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mementum.family.rule import Coefficients, Rule
from mementum.torch.backends.bucket import Bucket
from mementum.torch.step import procedure

# Whole blocks of float8 with a rest, and what it leaves float32.
SHAPES = [(17, 300), (7,), (64, 64), ()]
STEPS = [1, 2, 1000, 2**53 - 1]
LOW: dict[str, tuple[torch.dtype, Options]] = {
    "bfloat16": (torch.float32, {"state_dtype": "bfloat16"}),
    "float8": (torch.float32, {"state_dtype": "float8"}),
    "rounded bfloat16": (torch.bfloat16, {"stochastic_rounding": True}),
    "rounded float16 beside float8": (
        torch.float16,
        {"state_dtype": "float8", "stochastic_rounding": True},
    ),
}
low = pytest.mark.parametrize(("dtype", "options"), LOW.values(), ids=LOW.keys())
purposes = pytest.mark.parametrize("purpose", ["state", "parameter"])


def bucket_of(step: Any) -> Bucket:
    bucket = Bucket(step, seed=5)
    bucket.places = ["weight", "bias", 0, 1]
    bucket.params = [torch.zeros(3, 5) for _ in bucket.places]
    return bucket


def on_device() -> Tensor:
    return torch.tensor(STEPS, dtype=torch.float64)


# --- Keys and words -------------------------------------------------------------------


@purposes
def test_keys_on_the_device_are_those_of_the_host(purpose: Any) -> None:
    bucket = bucket_of(on_device())
    with NothingIsRead():
        drawn = bucket.keys_on_device(purpose)
    assert drawn.dtype == torch.int64
    expected = [bucket_of(step).keys(purpose)[i] for i, step in enumerate(STEPS)]
    assert drawn.numpy().view(np.uint64).tolist() == expected


@purposes
def test_words_on_the_device_are_those_of_the_host(purpose: Any) -> None:
    bucket = bucket_of(on_device())
    for i, step in enumerate(STEPS):
        with NothingIsRead():
            drawn = bucket.words(i, purpose)
        assert torch.equal(drawn, bucket_of(step).words(i, purpose))


class Fills(TorchDispatchMode):
    """Count the numbers that are brought from the host."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[Any] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count[func.overloadpacket] += 1
        return func(*args, **(kwargs or {}))

    def of_a_step(self, bucket: Bucket) -> int:
        """Return how many numbers the keys of one more step want."""
        self.count.clear()
        with self:
            bucket.keys_on_device("state")
            bucket.keys_on_device("state")
        bucket.release()
        bucket.step = on_device()
        return self.count[torch.ops.aten.full]


def test_parameters_are_brought_to_the_device_once_and_anew_for_other_seeds() -> None:
    bucket, fills = bucket_of(on_device()), Fills()
    assert [fills.of_a_step(bucket) for _ in range(3)] == [4, 0, 0]
    bucket.seed = 6
    assert [fills.of_a_step(bucket) for _ in range(2)] == [4, 0]


def test_what_a_capture_brings_is_not_kept_as_it_has_no_value_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    bucket, fills = bucket_of(on_device()), Fills()
    assert [fills.of_a_step(bucket) for _ in range(2)] == [4, 4]
    monkeypatch.undo()
    assert [fills.of_a_step(bucket) for _ in range(2)] == [4, 0]


# --- Steps ----------------------------------------------------------------------------


@pytest.fixture
def numbers_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand captured steps the host's numbers, which torch's may miss by a last bit."""

    def numbers(
        rule: Rule, group: Any, bucket: Bucket, scaling: Any, known: Any
    ) -> Coefficients:
        if not group["capturable"]:
            return own(rule, group, bucket, scaling, known)
        rows = [
            rule.at(int(step), group["lr"], math)._replace(scale=scaling.scale)
            for step in bucket.step
        ]
        return Coefficients(*map(column, zip(*rows, strict=True)))

    def column(values: tuple[float, ...]) -> Any:
        # A plain 0 or 1 leaves its operation out.
        if len(set(values)) == 1:
            return array("f", values)[0]
        return torch.tensor(values, dtype=torch.float64)

    own = procedure.numbers
    monkeypatch.setattr(procedure, "numbers", numbers)


def tensors_of(optimizer: torch.optim.Optimizer) -> Iterator[Any]:
    """Yield all that a step has changed, its count as a plain number."""
    for each in bits_of(optimizer):
        is_count = isinstance(each, Tensor) and each.dtype == torch.int64
        yield int(each) if is_count else each


@members
@low
@paths(CAPTURABLE)
@pytest.mark.usefixtures("numbers_of_the_host")
def test_a_captured_step_with_noise_has_the_bits_of_the_ordinary_one(
    member: Member, dtype: torch.dtype, options: Options, flags: Options
) -> None:
    # With gaps, parameters of one bucket are at different steps.
    start = parameters(dtype, SHAPES)
    grads = with_gaps(gradients(start, 9))
    options = options | {"seed": 3}
    _, captured = run(member, start, grads, **options, **flags)
    for eager in (TORCHS | COMPILED).values():
        _, ordinary = run(member, start, grads, **options, **eager)
        assert same_bits([*tensors_of(captured)], [*tensors_of(ordinary)])


@kinds
@low
def test_captured_paths_have_the_same_bits(
    member: Member, dtype: torch.dtype, options: Options
) -> None:
    start = parameters(dtype, SHAPES)
    grads = with_gaps(gradients(start, 9))
    ends = [
        bits_of(run(member, start, grads, **options, **flags)[1])
        for flags in CAPTURABLE.values()
    ]
    assert all(same_bits(ends[0], end) for end in ends[1:])


@kinds
@low
@paths(CAPTURABLE)
def test_no_number_is_read_back_for_noise(
    member: Member, dtype: torch.dtype, options: Options, flags: Options
) -> None:
    start = parameters(dtype, SHAPES)
    params, optimizer = run(member, start, gradients(start, 1), **options, **flags)
    give(params, gradients(start, 1)[0])
    with NothingIsRead():
        optimizer.step()
    assert {int(optimizer.state[p]["step"]) for p in params} == {2}


@kinds
@low
@paths(CAPTURABLE)
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_step_that_the_device_skips_rounds_nothing_anew(
    member: Member, dtype: torch.dtype, options: Options, flags: Options, first: bool
) -> None:
    start = parameters(dtype, SHAPES)
    grads = gradients(start, 3)
    expected, plain = run(member, start, grads, **options, **flags)
    params, optimizer = run(member, start, [], **options, **flags)
    for i, step in enumerate(grads):
        if i == (0 if first else 2):
            give(params, [torch.full_like(p, math.inf) for p in params])
            optimizer.found_inf = torch.ones(())
            optimizer.step()
            del optimizer.found_inf
        drive(optimizer, params, [step])
    assert optimizer.skipped_steps == 1
    torch.testing.assert_close(params, expected, rtol=0, atol=0)
    for mine, theirs in zip(params, expected, strict=True):
        kept = plain.state[theirs]
        for name, value in optimizer.state[mine].items():
            assert torch.equal(value, kept[name]), name
