"""Training runs that stop and go on: in this process, or, by `main`, in another."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tests.torch.cases import (
    CAPTURABLE,
    COMPILED,
    TORCHS,
    Grads,
    bits_of,
    drive,
    gradients,
    parameters,
    twins,
    with_gaps,
)
from torch import Tensor
from torch.optim import lr_scheduler

from mementum import torch as optimizers

BEFORE, AFTER = 3, 3
STEPS = BEFORE + AFTER
# The other capturable paths are these two.
PATHS = {
    **TORCHS,
    **COMPILED,
    **{name: CAPTURABLE[name] for name in ("capturable loop", "capturable foreach")},
}
# What trains beside the optimizer: schedulers, of which one moves betas, and a scaler.
COMPANY: dict[str, tuple[str, ...]] = {
    "alone": (),
    "OneCycleLR": ("cycle",),
    "SequentialLR": ("sequence",),
    "ReduceLROnPlateau": ("plateau",),
    "GradScaler": ("scaler",),
    "GradScaler and OneCycleLR": ("scaler", "cycle"),
}
SMALL, WITH_BLOCKS, LARGE = [(3, 4), (5,)], [(5,), (64, 64)], [(7,), (1024, 260)]


class Combination(NamedTuple):
    """A member, its path, its storage, and what trains beside it."""

    member: str
    path: str
    state_dtype: str | None
    stochastic_rounding: bool
    company: str
    large: bool = False


def combinations(member: str) -> Iterator[Combination]:
    """Yield every combination of a member."""
    for path in PATHS:
        for state_dtype in (None, "bfloat16", "float8"):
            for rounding in (False, True):
                for company in COMPANY:
                    yield Combination(member, path, state_dtype, rounding, company)
    # Enough elements for the kernel to use two threads.
    for state_dtype in (None, "bfloat16", "float8"):
        path = next(iter(COMPILED), "foreach")
        yield Combination(member, path, state_dtype, True, "alone", large=True)


@cache
def _drawn(
    dtype: torch.dtype, shapes: tuple[tuple[int, ...], ...]
) -> tuple[list[Tensor], list[Grads]]:
    params = parameters(dtype, shapes)
    return params, with_gaps(gradients(params, STEPS))


class Training:
    """An optimizer with its company over parameters of its own."""

    def __init__(self, what: Combination) -> None:
        shapes = WITH_BLOCKS if what.state_dtype == "float8" else SMALL
        shapes = LARGE if what.large else shapes
        dtype = torch.bfloat16 if what.stochastic_rounding else torch.float32
        drawn, self.grads = _drawn(dtype, tuple(shapes))
        self.params = twins(drawn)
        self.optimizer = getattr(optimizers, what.member)(
            [(f"{i}", param) for i, param in enumerate(self.params)],
            state_dtype=what.state_dtype,
            stochastic_rounding=what.stochastic_rounding,
            seed=3,
            weight_decay=0.1,
            **PATHS[what.path],
        )
        company = COMPANY[what.company]
        self.scaler = (
            torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
            if "scaler" in company
            else None
        )
        self.scheduler = self._scheduler(company)

    def _scheduler(self, company: tuple[str, ...]) -> Any:
        if "cycle" in company:
            return lr_scheduler.OneCycleLR(self.optimizer, 0.01, total_steps=STEPS + 1)
        if "plateau" in company:
            return lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=1)
        if "sequence" in company:
            parts = [
                lr_scheduler.LinearLR(self.optimizer, 0.1, total_iters=2),
                lr_scheduler.CosineAnnealingWarmRestarts(self.optimizer, 3),
            ]
            return lr_scheduler.SequentialLR(self.optimizer, parts, milestones=[2])
        return None

    def train(self, first: int, last: int) -> None:
        for t in range(first, last):
            if self.scaler is None:
                drive(self.optimizer, self.params, [self.grads[t]])
            else:
                self._scaled_step(self.scaler, t)
            if isinstance(self.scheduler, lr_scheduler.ReduceLROnPlateau):
                self.scheduler.step(1.0 + t)
            elif self.scheduler is not None:
                self.scheduler.step()

    def _scaled_step(self, scaler: torch.amp.GradScaler, t: int) -> None:
        scaler.scale(torch.zeros(()))
        for param, grad in zip(self.params, self.grads[t], strict=True):
            param.grad = None if grad is None else grad * scaler.get_scale()
        if t in (1, BEFORE + 1):
            live = next(p.grad for p in self.params if p.grad is not None)
            live.view(-1)[0] = float("inf")
        scaler.step(self.optimizer)
        scaler.update()

    def saved(self) -> dict[str, Any]:
        """Return everything there is to save, as its own copy."""
        others = {"scaler": self.scaler, "scheduler": self.scheduler}
        return {
            "params": [param.detach().clone() for param in self.params],
            "optimizer": _copied(self.optimizer.state_dict()),
            **{k: v.state_dict() for k, v in others.items() if v is not None},
        }

    def load(self, saved: dict[str, Any]) -> None:
        with torch.no_grad():
            for param, kept in zip(self.params, saved["params"], strict=True):
                param.copy_(kept)
        for name, other in (("scaler", self.scaler), ("scheduler", self.scheduler)):
            if other is not None:
                other.load_state_dict(saved[name])
        self.optimizer.load_state_dict(saved["optimizer"])

    def digest(self) -> str:
        """Return a hash of every bit that training changes."""
        hashed = hashlib.sha256()
        others = [self.scaler, self.scheduler]
        states = [each.state_dict() for each in others if each is not None]
        saved = self.optimizer.state_dict()["param_groups"]
        groups = [sorted(group.items()) for group in saved]
        for value in (*bits_of(self.optimizer), states, groups):
            if isinstance(value, Tensor):
                flat = value.contiguous().view(-1).view(torch.uint8)
                hashed.update(flat.numpy().tobytes())
            else:
                hashed.update(repr(value).encode())
        return hashed.hexdigest()


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return value.clone() if isinstance(value, Tensor) else value


def main(given: str, written: str, threads: str) -> None:
    """Load what was saved of each combination, go on, and write the hashes."""
    torch.set_num_threads(int(threads))
    digests = {}
    for what, saved in torch.load(given, weights_only=True).items():
        training = Training(Combination(*what))
        training.load(saved)
        training.train(BEFORE, STEPS)
        digests[what] = training.digest()
    lines = (f"{digest} {what!r}\n" for what, digest in digests.items())
    Path(written).write_text("".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
