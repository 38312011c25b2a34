"""Files of claims: what they may say, and how they are read."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mementum.family.limits import resolve
from mementum.lab.arguments import SEEDS
from mementum.lab.claims.claim import Arm, Check, Claim, ClaimError, Relation
from mementum.lab.records import codec
from mementum.lab.records.codec import Kind, is_number, is_text, is_whole


def _one_of(*words: str) -> Kind:
    """Return the kind of a value that is one of these words."""
    return Kind(lambda value: value in words, f"one of {', '.join(words)}")


def _is_name(value: Any) -> bool:
    """Return whether the value can name a claim, a place in a page and a file."""
    return is_text(value) and re.fullmatch(r"\w[\w.-]{0,39}", value) is not None


def _is_rates(value: Any) -> bool:
    """Return whether the value is a list of rates above 0, from low to high."""
    if not codec.each(is_number, value) or value != sorted(set(value)):
        return False
    return bool(value) and value[0] > 0


def _is_table(value: object) -> bool:
    """Return whether the value is a table."""
    return isinstance(value, dict)


def _number_kind(fits: Callable[[Any], bool], words: str) -> Kind:
    """Return the kind of numbers that fit."""
    return Kind(lambda value: is_number(value) and fits(value), words)


_NAME = Kind(
    _is_name, "a name of up to 40 letters, digits, dots, dashes and underscores"
)
_WORDS = Kind(lambda v: is_text(v) and v != "" and not v.isspace(), "a text")
_TABLE = Kind(_is_table, "a table")
_TABLES = Kind(lambda value: codec.each(_is_table, value), "a list of tables")
_NAMED = Kind(lambda value: codec.table(_is_table, value), "a table of tables")
_RATES = Kind(_is_rates, "a list of learning rates above 0, from low to high")
_COUNT = Kind(
    lambda value: is_whole(value) and value > 0, "a whole number of 1 or more"
)
_SEEDS = Kind(
    lambda value: is_whole(value) and 0 < value <= SEEDS,
    f"a whole number from 1 to {SEEDS:,}",
)
_ABOVE = _number_kind(lambda value: value > 0, "a number above 0")
_MARGIN = _number_kind(lambda value: value >= 0, "a number of 0 or more")
_SHARE = _number_kind(lambda value: 0 < value <= 1, "a share above 0, up to 1")
_FILE = {"paper": _TABLE, "claim": _TABLES}
PAPER = {"name": _WORDS, "title": _WORDS, "source": _WORDS, "read": _WORDS}
CLAIM = {
    "name": _NAME,
    "sentence": _WORDS,
    "where": _WORDS,
    "note": codec.TEXT,
    "untestable": codec.TEXT,
    "pilot": _SEEDS,
    "seeds": _SEEDS,
    "arms": _NAMED,
    "check": _TABLES,
}
ARM = {"contender": _WORDS, "lrs": _RATES, "options": codec.OPTIONS, "kappa": _ABOVE}
CHECK = {
    "says": _WORDS,
    "task": _WORDS,
    "arm": _WORDS,
    "is": _one_of(*Relation),
    "against": _WORDS,
    "level": codec.NUMBER,
    "margin": _MARGIN,
    "scale": _one_of("log", "linear"),
    "value": _one_of("validation", "train", "rise"),
    "at": _SHARE,
    "rates": _one_of("tuned", "mean"),
    "chosen": _one_of("validation", "train"),
    "count": _COUNT,
}


def read(path: Path) -> list[Claim]:
    """Return the claims of a ledger file.

    Errors:
        ClaimError: The file cannot be read, or does not say what a claim needs, or says
            what none knows; the message names the file, the claim and the key.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClaimError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ClaimError(f"{path} is no TOML ({error}).") from error
    _wanted(str(path), plain, _FILE, ("paper", "claim"))
    _wanted(f"{path}, paper", plain["paper"], PAPER, tuple(PAPER))
    claims: dict[str, Claim] = {}
    for number, each in enumerate(plain["claim"], start=1):
        name = each.get("name")
        place = f"{path}, claim {name if _NAME.fits(name) else number}"
        found = _claim(place, each, plain["paper"])
        if found.name in claims:
            raise ClaimError(f"{place}: another claim of the file has this name.")
        claims[found.name] = found
    if not claims:
        raise ClaimError(f"{path} holds no claim; give one as [[claim]].")
    return list(claims.values())


def _wanted(
    place: str,
    plain: Mapping[str, Any],
    known: Mapping[str, Kind],
    needed: tuple[str, ...],
) -> None:
    """Raise unless a table has the needed keys, known ones alone, each of its kind."""
    for key, value in plain.items():
        if key not in known:
            try:
                resolve("key", key, known)
            except ValueError as error:
                raise ClaimError(f"{place}: {error}") from error
            raise ClaimError(f"{place}: the key {key!r} is written in lower case.")
        if not known[key].fits(value):
            shown = json.dumps(value, default=str, ensure_ascii=False)[:60]
            raise ClaimError(f"{place}: {key} is {shown}, not {known[key].words}.")
    for key in needed:
        if key not in plain:
            raise ClaimError(f"{place}: {key} is missing; give {known[key].words}.")


def _claim(place: str, plain: Mapping[str, Any], paper: Mapping[str, str]) -> Claim:
    """Return the claim that a table of the file describes."""
    _wanted(place, plain, CLAIM, ("name", "sentence", "where"))
    rest = dict(plain)
    seeds = {name: rest.pop(name) for name in ("pilot", "seeds") if name in rest}
    arms = {
        name: replace(_arm(f"{place}, arm {name}", each), **seeds)
        for name, each in rest.pop("arms", {}).items()
    }
    checks = tuple(
        _check(f"{place}, check {number}", each)
        for number, each in enumerate(rest.pop("check", []), start=1)
    )
    heading = {**paper, "paper": paper["name"]}
    heading.pop("name")
    found = Claim(**heading, **rest, arms=arms, checks=checks)
    if bool(found.untestable) is bool(checks):
        raise ClaimError(
            f"{place}: give either checks, as [[claim.check]], or in untestable the "
            "reason why there are none."
        )
    used = {name for each in checks for name in (each.arm, each.against) if name}
    for name in sorted(used ^ set(arms)):
        fault = "is in no check" if name in arms else "is none of the claim's arms"
        raise ClaimError(f"{place}: {name!r} {fault}.")
    return found


def _arm(place: str, plain: Mapping[str, Any]) -> Arm:
    """Return the arm that a table describes."""
    _wanted(place, plain, ARM, ("contender", "lrs"))
    return Arm(**{**plain, "lrs": tuple(plain["lrs"])})


def _check(place: str, plain: Mapping[str, Any]) -> Check:
    """Return the check that a table describes."""
    _wanted(place, plain, CHECK, ("says", "task", "arm", "is"))
    rest = dict(plain)
    found = Check(relation=Relation(rest.pop("is")), **rest)
    if fault := _contradiction(found):
        raise ClaimError(f"{place}: {fault}.")
    return found


def _contradiction(check: Check) -> str:
    """Return what two keys of a check say against each other, if they do."""
    level = check.level
    if (check.against is None) is (level is None):
        return "give one of against, an arm, and level, a number"
    if check.against == check.arm:
        return f"against is {check.arm!r}, the arm itself"
    if level is not None and level <= 0 and check.scale == "log":
        return f'level is {level:g}; give scale = "linear", or a level above 0'
    if check.count is not None and (level is None or check.scale == "log"):
        return 'count belongs to a share: give level and scale = "linear" with it'
    if check.count is not None and check.rates == "mean":
        return 'count is for one rate, and rates is "mean"'
    if check.chosen is not None and check.rates == "mean":
        return 'chosen is for a tuned rate, and rates is "mean"'
    if check.value == "rise" and (check.at < 1 or check.scale == "log"):
        return 'a rise is in nats over the run: give scale = "linear" and no at'
    return ""
