"""An arm as a check runs it: its options, its seeds, and the runs they come to."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mementum.lab.claims.claim import Arm, Check
from mementum.lab.claims.setting import Setting, parse
from mementum.lab.planning.own.registry import find
from mementum.lab.planning.search_spaces import adamnx_beta
from mementum.lab.records.run import Option, RunSpec
from mementum.lab.running.versions import versions

_EDITION = 1
"""Rises when a problem or modifier changes in a way that changes results."""

_GROWING = ("AdaX", "AdaXW", "AdamNX", "Mementum")
"""Contenders whose memory kappa sets."""
_MOST = 0.5
"""The largest log of the memory ratio that a beta2 of 0.4 or more gives AdamNX."""


class Tier(enum.StrEnum):
    """How much is spent on a claim."""

    SMOKE = "smoke"
    QUICK = "quick"
    STANDARD = "standard"

    @property
    def seeds(self) -> int:
        """Return how many seeds a claim is run with."""
        return {Tier.SMOKE: 2, Tier.QUICK: 10, Tier.STANDARD: 20}[self]


@dataclass(frozen=True)
class Settled:
    """An arm on a task: the options and seeds that its runs have."""

    setting: Setting
    arm: Arm
    options: dict[str, Option]
    seeds: tuple[int, ...]
    """That it is judged by."""
    pilot: tuple[int, ...] = ()
    """That choose one of several rates, and judge nothing; the judging ones follow."""

    def specs(self) -> Iterator[RunSpec]:
        """Return the runs that are needed whatever comes of any."""
        return self.at(self.arm.lrs, self.pilot or self.seeds)

    def at(self, lrs: Sequence[float], seeds: Sequence[int]) -> Iterator[RunSpec]:
        """Return the runs at these rates with these seeds."""
        task = self.setting.task
        for lr in lrs:
            for seed in seeds:
                yield RunSpec(
                    task=task.name,
                    task_version=task.version,
                    data=task.data(),
                    contender=self.arm.contender,
                    options=self.options,
                    lr=lr,
                    seed=seed,
                    steps=task.steps,
                    versions={
                        **versions(),
                        "claims": str(_EDITION),
                        **find(self.arm.contender).identity,
                    },
                    schedule=self.setting.schedule,
                    match_updates=self.setting.match_updates,
                    probe=self.setting.probe,
                )


def settle(check: Check, arm: Arm, tier: Tier) -> Settled:
    """Return an arm as this check runs it."""
    setting = parse(check.task)
    task = setting.task
    options = {**find(arm.contender).options, **arm.options}
    if arm.kappa is not None:
        options |= _memory(arm, options, arm.kappa / task.steps)
    if task.deterministic:
        return Settled(setting, arm, options, (0,))
    small = tier is Tier.SMOKE
    seeds = arm.seeds if arm.seeds and not small else tier.seeds
    # The seeds that judge are the same for all arms, those of one rate too.
    pilot = range(min(arm.pilot, 1) if small else arm.pilot)
    judging = range(len(pilot), len(pilot) + seeds)
    chooses = tuple(pilot) if len(arm.lrs) > 1 else ()
    return Settled(setting, arm, options, tuple(judging), chooses)


def _memory(
    arm: Arm, options: dict[str, Option], log_ratio: float
) -> dict[str, Option]:
    """Return the option that gives the second moment this log of the memory ratio.

    Errors:
        ValueError: The memory of the contender does not grow, or not by so much.
    """
    if arm.contender not in _GROWING:
        raise ValueError(
            f"kappa is {arm.kappa:g}, and the memory of {arm.contender} does not grow; "
            f"kappa is for {', '.join(_GROWING)}."
        )
    if arm.contender == "Mementum":
        return {"memory": math.exp(log_ratio)}
    betas = options["betas"]
    assert isinstance(betas, list)
    if arm.contender == "AdamNX":
        if log_ratio > _MOST:
            raise ValueError(
                f"kappa is {arm.kappa:g}, more than AdamNX can hold in so few steps."
            )
        return {"betas": [betas[0], adamnx_beta(log_ratio)]}
    return {"betas": [betas[0], math.expm1(log_ratio)]}
