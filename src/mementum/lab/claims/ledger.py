"""The ledger: every claim of the four papers, from the files beside this one."""

from __future__ import annotations

import functools
from pathlib import Path

from mementum.family.limits import resolve
from mementum.lab.claim import Claim, ClaimError, read

FILES = ("amsgrad", "adax", "adamomentum", "adamnx")


@functools.cache
def ledger() -> tuple[Claim, ...]:
    """Return all claims, paper by paper."""
    folder = Path(__file__).parent
    return tuple(claim for name in FILES for claim in read(folder / f"{name}.toml"))


def papers() -> tuple[str, ...]:
    """Return the names of the papers."""
    return tuple(dict.fromkeys(claim.paper for claim in ledger()))


def select(wanted: str) -> tuple[Claim, ...]:
    """Return the claims of these names: claims, papers or all, separated by commas.

    Raises:
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
