"""What a step takes here, and whether this machine is quiet enough to say so."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from mementum import machine
from mementum.bench.case import Case
from mementum.bench.clock import Spread, alternate, ratio, spread
from mementum.bench.entrant import built
from mementum.bench.measurement import DISTURBED
from mementum.doctor.examination import PATHS

# Seconds to look at the speed for, at a size that no second-level cache holds.
_LOOK = 0.3
_SIZED = Case("1m", "one matrix", ((1_024, 1_024),))
_TORCHS = "torch_fused"


class Timing(NamedTuple):
    """The seconds of a step by its path, and how many times the first path's."""

    seconds: dict[str, Spread]
    times: dict[str, float]
    load: float | None
    """The processes that wanted to run in the minute before, if it is known."""

    @property
    def disturbance(self) -> str:
        """A sentence where other work makes the times worthless; else empty."""
        reasons = []
        if self.load is not None and self.load > machine.cores() / 2:
            reasons.append(
                f"in the minute before, {self.load:.1f} processes wanted to run on "
                f"{machine.cores()} cores"
            )
        widest = max(each.around for each in self.seconds.values())
        if widest > DISTURBED:
            reasons.append(f"the times of one step spread by {widest:.0%}")
        if not reasons:
            return ""
        return (
            f"Disturbed: {', and '.join(reasons)}. These times are worth nothing; "
            "measure again while nothing else runs."
        )


def measure(*, kernel_runs: bool) -> Timing:
    """Time a step of AdamW on our paths beside torch's fused one."""
    load = machine.load()
    paths = ["native", "foreach"] if kernel_runs else ["foreach"]
    gradients = _SIZED.gradients()
    steps = [
        built("AdamW", _SIZED.parameters(gradients), flags=PATHS[path]).step
        for path in paths
    ]
    fused = torch.optim.AdamW(_SIZED.parameters(gradients), fused=True)
    found = alternate([*steps, fused.step], _LOOK)
    names = [*paths, _TORCHS]
    return Timing(
        {name: spread(each) for name, each in zip(names, found, strict=True)},
        {n: ratio(each, found[0]).median for n, each in zip(names, found, strict=True)},
        load,
    )


def words(timing: Timing) -> str:
    """Return what a step takes here, and what the kernel saves or would save."""
    first = next(iter(timing.seconds.values()))
    size = (
        f"A step of AdamW on {_SIZED.elements:,} elements takes "
        f"{first.median * 1e3:.2f} ms"
    )
    torchs = timing.times[_TORCHS]
    if "native" in timing.seconds:
        return (
            f"{size} in the kernel. Without it, on the foreach path, it takes "
            f"{timing.times['foreach']:.1f} times as long; torch's fused AdamW takes "
            f"{torchs:.1f} times."
        )
    return (
        f"The kernel does not run, so the foreach path does. {size} there, "
        f"{1 / torchs:.1f} times as long as torch's fused AdamW, which is about as "
        "fast as the kernel."
    )


def data(timing: Timing) -> dict[str, Any]:
    """Return the same as JSON can hold it."""
    return {
        "elements": _SIZED.elements,
        "seconds": {name: each._asdict() for name, each in timing.seconds.items()},
        "beside": next(iter(timing.seconds)),
        "ratio": timing.times,
        "load": timing.load,
        "disturbed": bool(timing.disturbance),
        "disturbance": timing.disturbance or None,
    }
