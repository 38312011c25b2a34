"""The compiled kernel, for the tests that are about it alone."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import Tensor

from mementum.family.rule import Coefficients
from mementum.torch.backends import Backend, native
from mementum.torch.backends.bucket import Bucket

needed = pytest.mark.skipif(
    native.library() is None, reason="the package was built without its kernel"
)

# Every term of the kernel at work.
EVERY_TERM = Coefficients(
    scale=-1.0,
    pull=0.01,
    take_m=0.1,
    square_g=1.0,
    square_m=-1.0,
    take_v=0.01,
    eps_in=1e-8,
    eps_root=1e-10,
    eps_out=1e-8,
    shrink=1e-3,
    step_g=0.01,
    step_m=0.02,
)
ADAMW = EVERY_TERM._replace(
    scale=1.0, pull=0.0, square_m=0.0, eps_in=0.0, eps_root=0.0, step_g=0.0
)


def bucket(rows: list[tuple[Tensor, ...]], step: int = 1) -> Bucket:
    """Return a bucket of rows of a parameter, gradient, momentum, square and peak."""
    params, grads, momentum, square, *peak = map(list, zip(*rows, strict=True))
    return Bucket(
        step=step,
        owners=params,
        params=params,
        grads=grads,
        momentum=momentum,
        square=square,
        peak=peak[0] if peak else [],
    )


def update(c: Coefficients, stepped: Bucket, by: Backend = native) -> None:
    """Take a step of one bucket alone."""
    by.ready(stepped)
    by.update(c, stepped)


def rows(
    shape: tuple[int, ...],
    count: int = 1,
    *,
    param: torch.dtype = torch.float32,
    grad: torch.dtype = torch.float32,
    moments: torch.dtype = torch.float32,
    peak: bool = False,
    seed: int = 1,
) -> list[tuple[Tensor, ...]]:
    """Return rows drawn from the normal distribution; squares are not negative."""
    generator = torch.Generator().manual_seed(seed)
    dtypes = [param, grad, moments, moments, *([moments] if peak else [])]

    def draw(place: int, dtype: torch.dtype) -> Tensor:
        drawn = torch.randn(shape, generator=generator)
        return (drawn * drawn if place > 2 else drawn).to(dtype)

    return [tuple(draw(*each) for each in enumerate(dtypes)) for _ in range(count)]


def copies(of: list[tuple[Tensor, ...]]) -> list[tuple[Tensor, ...]]:
    """Return rows of new memory, in the same strides."""
    return [tuple(tensor.clone() for tensor in row) for row in of]


def output_of(script: str, timeout: float = 120, **environment: str) -> str:
    """Return what a script prints that is run by a new Python, which must not fail."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout
