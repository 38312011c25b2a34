"""The optimizers of the user's own that a process knows, and how another finds them.

A run says the dotted path of its optimizer, by which any process finds it. The
environment says where files are, for the workers of this machine.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import NamedTuple

from mementum.family.recipes import RECIPES
from mementum.lab.arguments import Argument, ArgumentError, Real
from mementum.lab.errors import LabError
from mementum.lab.planning import contender
from mementum.lab.planning.contender import CONTENDERS, OTHERS, Contender
from mementum.lab.planning.names import OF_CONTENDERS
from mementum.lab.planning.own import form
from mementum.lab.planning.own.source import from_dotted, from_file, locate
from mementum.lab.records.run import RunSpec

VARIABLE = "MEMENTUM_CONTENDERS"
"""The environment variable that says the files, by the names of their contenders."""
_TAKEN = {each.lower() for each in (*(c.name for c in CONTENDERS), *RECIPES)}

_registered: dict[tuple[str, str], Contender] = {}
"""By name and identity: a plan that was made before a file changed keeps its own."""


class _Plugged(NamedTuple):
    """What the packages bring."""

    contenders: tuple[Contender, ...]
    complaints: tuple[str, ...]
    """A sentence for each entry point that brings no contender."""


@functools.cache
def plugged() -> _Plugged:
    """Return the contenders of the packages; a broken one keeps nobody from others."""
    found, complaints = dict[str, Contender](), list[str]()
    for point in sorted(entry_points(group=OF_CONTENDERS), key=lambda each: each.name):
        try:
            made = _loaded(point, {*found})
        except Exception as error:  # noqa: BLE001 - another's code may raise anything
            package = point.dist.name if point.dist else point.value
            told = "" if isinstance(error, LabError) else f"{type(error).__name__}: "
            words = f"{told}{error}".rstrip(".")
            complaints.append(
                f"The contender {point.name} of the package {package} is left out: "
                f"{words}."
            )
        else:
            found[made.name] = made
    return _Plugged(tuple(found.values()), tuple(complaints))


def _loaded(point: EntryPoint, others: set[str]) -> Contender:
    """Return the contender that an entry point names: a class, or a module."""
    source = from_dotted(point.value.partition("[")[0].strip())
    made = form.read(source, {}, point.name)
    if made.name.lower() in _TAKEN or made.name in others:
        raise LabError(f"there is a contender named {made.name} already")
    return made


def register(
    asked: Iterable[object], rates: Mapping[str, Real] | None = None
) -> list[Contender]:
    """Return the contender of each source, and let worker processes find them.

    Errors: `LabError` for a source that is none, and for a name that is taken.
    """
    found: dict[str, Contender] = {}
    files = _files()
    listed = []
    for each in asked:
        source = locate(each)
        made = form.read(source, rates or {})
        name = made.name.lower()
        if name in _TAKEN or found.get(name, made).identity != made.identity:
            raise ArgumentError(
                Argument("contender"),
                f" is {source.place}, and there is a contender named {made.name} "
                f'already; in a file, say name = "My{made.name}".',
            )
        found[name] = made
        if source.identity.startswith("file "):
            files[made.name] = str(source.path)
        _remember(made)
        listed.append(made)
    if files:
        os.environ[VARIABLE] = json.dumps(files)
    return listed


def _remember(made: Contender) -> None:
    (identity,) = made.identity.values()
    _registered.pop((made.name, identity), None)
    _registered[made.name, identity] = made


def _files() -> dict[str, str]:
    """Return the files that the environment says."""
    found: dict[str, str] = json.loads(os.environ.get(VARIABLE) or "{}")
    return found


def every() -> dict[str, Contender]:
    """Return all contenders by their names: the lab's, the packages', the user's."""
    known = (*CONTENDERS, *OTHERS, *plugged().contenders, *_registered.values())
    return {each.name: each for each in known}


def find(name: str) -> Contender:
    """Return the contender of this name; an unknown name is a LookupError."""
    return every().get(name) or contender.find(name)


def of(spec: RunSpec) -> Contender:
    """Return the contender of a run, the very one that it was planned with.

    Errors: `LabError` if its source is another here, or is not found.
    """
    name, identity = spec.contender, _identity(spec)
    if identity is None:
        return contender.find(name)
    if (name, identity) not in _registered:
        place = identity.partition(" ")[0]
        if place == "file":
            path = _files().get(name)
            if path is None:
                raise LabError(
                    f"the file of the contender {name} is not known here; give it "
                    "with --contender."
                )
            source = from_file(Path(path))
        else:
            source = from_dotted(place)
        if source.identity != identity:
            raise LabError(
                f"the run was planned with {name} of {identity}, and here it is "
                f"{source.identity}; plan the comparison again."
            )
        _remember(form.read(source, {name.lower(): spec.lr}, name))
    known = _registered[name, identity]
    if (again := known.renewed()) is not None:
        known = replace(again, lr=known.lr)
        _remember(known)
    return known


def _identity(spec: RunSpec) -> str | None:
    return spec.versions.get(f"contender {spec.contender}")


def check_reach(specs: Iterable[RunSpec], *, elsewhere: bool) -> None:
    """Raise for a contender that no other process can find.

    Args:
        specs: The runs.
        elsewhere: Whether the process is on another machine, which has no files.
    """
    for name, identity in sorted({(r.contender, _identity(r) or "") for r in specs}):
        place = identity.partition(" ")[0]
        module = place.partition(":")[0]
        main = module == "__main__"
        console = main and not hasattr(sys.modules[module], "__file__")
        far = elsewhere and (main or place == "file")
        if console or far or "<locals>" in place:
            raise ArgumentError(
                *(Argument("contender"), f" is {name}, which no other process can "),
                "find; define it in a module that can be imported there, or give ",
                *(Argument("workers"), " 0 to run in this process."),
            )
