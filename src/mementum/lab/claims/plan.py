"""Which runs the claims need: all arms of all checks, at all rates, with all seeds."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mementum.lab.claims.claim import Arm, Check, Claim
from mementum.lab.claims.setting import Setting, parse
from mementum.lab.planning.factorial import outline
from mementum.lab.planning.own.registry import find
from mementum.lab.planning.search_spaces import adamnx_beta
from mementum.lab.records.plan import Outline, Plan
from mementum.lab.records.run import CPU, Option, RunRecord, RunSpec
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

    def specs(self) -> Iterator[RunSpec]:
        """Return the runs."""
        task = self.setting.task
        for lr in self.arm.lrs:
            for seed in self.seeds:
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
    seeds = range(1 if task.deterministic else tier.seeds)
    return Settled(setting, arm, options, tuple(seeds))


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


def planned(claims: Sequence[Claim], tier: Tier, device: str = CPU) -> Plan:
    """Return the plan of these claims; a run that several need is in it once."""
    runs: dict[str, RunSpec] = {}
    outlines: dict[str, Outline] = {}
    for claim in claims:
        for check in claim.checks:
            for name in dict.fromkeys(filter(None, (check.arm, check.against))):
                settled = settle(check, claim.arms[name], tier)
                label = settled.setting.label
                about = outline(settled.setting.task)
                outlines[label] = replace(about, name=label)
                specs = (replace(spec, device=device) for spec in settled.specs())
                runs |= {spec.run_id: spec for spec in specs}
    return Plan(tasks=tuple(outlines.values()), reference="", runs=tuple(runs.values()))


def by_identity(records: Sequence[RunRecord]) -> dict[str, RunRecord]:
    """Return the records by what identifies their runs.

    Claims say nothing of devices: the records are of one kind, whichever it is.
    """
    return {replace(record.spec, device=CPU).run_id: record for record in records}
