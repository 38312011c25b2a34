"""A claim of a paper, and the predicates that decide it, fixed before any run."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mementum.lab.errors import LabError


class ClaimError(LabError):
    """A ledger file says what cannot be, or no claim is meant by a name."""


class Relation(enum.StrEnum):
    """What a check says of the difference between an arm and what stands against it."""

    BELOW = "below"
    ABOVE = "above"
    EQUAL = "equal"
    NOT_ABOVE = "not above"
    NOT_BELOW = "not below"

    def region(self, margin: float) -> tuple[float, float]:
        """Return the differences for which the check holds, as an open interval."""
        far = float("inf")
        return {
            Relation.BELOW: (-far, -margin),
            Relation.ABOVE: (margin, far),
            Relation.EQUAL: (-margin, margin),
            Relation.NOT_ABOVE: (-far, margin),
            Relation.NOT_BELOW: (-margin, far),
        }[self]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """An optimizer as a claim runs it, at these learning rates."""

    contender: str
    lrs: tuple[float, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    """In place of the contender's own."""
    kappa: float | None = None
    """The memory horizon, from which the second beta follows for the run's length."""
    pilot: int = 0
    """How many seeds choose one of several rates, and judge nothing. Without them each
    seed is judged at the rate that the others chose."""
    seeds: int | None = None
    """How many seeds judge; as many as the tier says unless told."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A sentence about an arm that holds, fails, or stays open."""

    says: str
    task: str
    arm: str
    relation: Relation
    against: str | None = None
    """The other arm; or `level` stands against it."""
    level: float | None = None
    margin: float = 0.0
    """A share on the log scale, the quantity's own unit on the linear one."""
    scale: str = "log"
    value: str = "validation"
    """The metric; or "train", the training objective; or "rise", its largest rise."""
    at: float = 1.0
    """The share of the steps after which the value is read."""
    rates: str = "tuned"
    """"tuned": each seed at the rate that the others chose. "mean": over all rates."""
    chosen: str | None = None
    """What a rate is chosen for at the end of the run; the value itself unless told."""
    count: int | None = None
    """How many independent trials a run's value is a share of."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of a paper with its arms and checks."""

    name: str
    paper: str
    title: str
    source: str
    read: str
    """How much of the paper could be read."""
    sentence: str
    """What the paper says, paraphrased."""
    where: str
    note: str = ""
    """What is run in place of the paper's own experiment."""
    untestable: str = ""
    """Why no run here can decide it."""
    arms: Mapping[str, Arm] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
