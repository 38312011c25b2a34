"""A claim of a paper, and the predicates that decide it, fixed before any run."""

from __future__ import annotations

import enum
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mementum.lab import LabError
from mementum.lab.kinds import is_number, is_text


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


CHOICES = {
    "value": ("validation", "train", "rise"),
    "chosen": ("validation", "train"),
    "scale": ("log", "linear"),
    "rates": ("tuned", "mean"),
}


def read(path: Path) -> list[Claim]:
    """Return the claims of a ledger file.

    Raises:
        ClaimError: The file does not say what a claim needs, or says what none knows.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
        paper = plain["paper"]
        heading = {
            "paper": paper["name"],
            "title": paper["title"],
            "source": paper["source"],
            "read": paper["read"],
        }
        return [claim(each, heading) for each in plain["claim"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ClaimError(f"{path} is no ledger of claims: {error!r}.") from error


def claim(plain: Mapping[str, Any], heading: Mapping[str, str]) -> Claim:
    """Return the claim that a table of the file describes."""
    rest = dict(plain)
    arms = {name: arm(each) for name, each in rest.pop("arms", {}).items()}
    checks = tuple(check(each) for each in rest.pop("check", []))
    found = Claim(**heading, **rest, arms=arms, checks=checks)
    for name in ("sentence", "where", "note", "untestable"):
        if not is_text(getattr(found, name)):
            raise ValueError(f"{found.name}: {name} is no text")
    if bool(found.untestable) is bool(found.checks):
        raise ValueError(f"{found.name}: it has either checks or a reason for none")
    for each in found.checks:
        if not {each.arm, each.against or each.arm} <= set(arms):
            raise ValueError(f"{found.name}: a check names an arm that is none")
    return found


def arm(plain: Mapping[str, Any]) -> Arm:
    """Return the arm that a table describes."""
    found = Arm(**{**plain, "lrs": tuple(plain["lrs"])})
    if not found.lrs or list(found.lrs) != sorted(set(found.lrs)):
        raise ValueError(f"lrs is {list(found.lrs)}, not some rates from low to high")
    return found


def check(plain: Mapping[str, Any]) -> Check:
    """Return the check that a table describes."""
    rest = dict(plain)
    found = Check(relation=Relation(rest.pop("is")), **rest)
    for name, known in CHOICES.items():
        value = getattr(found, name)
        if value not in known and not (name == "chosen" and value is None):
            raise ValueError(f"{name} is {value!r}, not one of {known}")
    if (found.against is None) is (found.level is None):
        raise ValueError(f"{found.says!r} has not one of against and level")
    numbers = (found.margin, found.at, found.level if found.level is not None else 0)
    if not all(map(is_number, numbers)) or not 0 < found.at <= 1 or found.margin < 0:
        raise ValueError(f"{found.says!r} has a margin, level or at that is no number")
    return found
