"""The ledger: every claim of the four papers, from the files beside this one."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

from mementum.family.limits import resolve
from mementum.lab.claims.claim import Arm, Check, Claim, ClaimError
from mementum.lab.claims.claim_file import read
from mementum.lab.claims.setting import SEPARATOR, Setting, parse
from mementum.lab.claims.settled import Tier, settle
from mementum.lab.planning.own.registry import every
from mementum.lab.running import modifiers
from mementum.lab.tasks import registry
from mementum.lab.tasks.claimed import PROBLEMS

FILES = ("amsgrad", "adax", "adamomentum", "adamnx")


@functools.cache
def ledger() -> tuple[Claim, ...]:
    """Return all claims, paper by paper."""
    folder = Path(__file__).with_name("papers")
    return tuple(claim for name in FILES for claim in read(folder / f"{name}.toml"))


def papers() -> tuple[str, ...]:
    """Return the names of the papers."""
    return tuple(dict.fromkeys(claim.paper for claim in ledger()))


def select(wanted: str) -> tuple[Claim, ...]:
    """Return the claims of these names: claims, papers or all, separated by commas.

    Errors:
        ClaimError: A name is neither a claim nor a paper.
    """
    known = ("all", *papers(), *(claim.name for claim in ledger()))
    asked = [name.strip() for name in wanted.split(",") if name.strip()]
    if not asked:
        raise ClaimError(f"no claim is named; choose from {', '.join(known)}.")
    try:
        names = {resolve("paper or claim", name, known) for name in asked}
    except ValueError as error:
        raise ClaimError(str(error)) from error
    return tuple(
        claim for claim in ledger() if names & {"all", claim.paper, claim.name}
    )


def own(paths: Sequence[str]) -> tuple[Claim, ...]:
    """Return the claims of these files, each of their arms tried out.

    Errors:
        ClaimError: A file is no ledger, a claim has the name of another, or an arm
            cannot be trained on its task.
    """
    names = {claim.name.lower(): claim.paper for claim in ledger()}
    found: list[Claim] = []
    for path in dict.fromkeys(paths):
        for claim in read(Path(path)):
            place = f"{path}, claim {claim.name}"
            if claim.name.lower() in names:
                taken = names[claim.name.lower()]
                raise ClaimError(f"{place}: {taken} has a claim of this name.")
            names[claim.name.lower()] = claim.paper
            for number, check in enumerate(claim.checks, start=1):
                _attempt(f"{place}, check {number}", claim, check)
            found.append(claim)
    return tuple(found)


def _attempt(place: str, claim: Claim, check: Check) -> None:
    """Begin a run of each arm of a check, or say what stands in the way."""
    try:
        setting = parse(check.task)
    except LookupError as error:
        name = check.task.partition(SEPARATOR)[0]
        known = [each.name for each in (*registry.offered(), *PROBLEMS)]
        reason = error if name in known else _unknown("task", name, known)
        raise ClaimError(f"{place}: {reason}") from error
    for name in filter(None, (check.arm, check.against)):
        try:
            _begin(check, claim.arms[name], setting)
        except Exception as error:
            raise ClaimError(f"{place}, arm {name}: {error}") from error


def _begin(check: Check, arm: Arm, setting: Setting) -> None:
    """Begin a run of an arm, which raises whatever makes it impossible."""
    known = {name: each for name, each in every().items() if each.matched is None}
    if arm.contender not in known:
        raise ClaimError(_unknown("contender", arm.contender, known))
    options = settle(check, arm, Tier.SMOKE).options
    modifiers.begin(
        setting.task,
        0,
        known[arm.contender].builder(arm.lrs[0], options),
        schedule=setting.schedule,
        match_updates=setting.match_updates,
        probe=setting.probe,
    )


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the words for a name that is not known as it is written."""
    try:
        found = resolve(kind, name, known)
    except ValueError as error:
        return str(error)
    return f"no {kind} is named {name!r}; did you mean {found}?"
