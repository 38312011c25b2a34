"""Every public name is in the reference, and the reference names nothing else."""

from __future__ import annotations

import re
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
from tests.trainers.pages import DOCS

PUBLIC = [
    "mementum",
    "mementum.convert",
    "mementum.lab",
    "mementum.optax",
    "mementum.torch",
]
_DIRECTIVE = re.compile(
    r"^\.\. (py:currentmodule|automodule|auto\w+):: ([\w.]+)$", re.MULTILINE
)


def found(path: str) -> Any:
    """Return what a dotted path names."""
    module, _, name = path.rpartition(".")
    try:
        return import_module(path)
    except ModuleNotFoundError:
        return getattr(found(module), name)


def documented() -> list[Any]:
    """Return all that the pages of the reference document."""
    things = []
    for page in sorted((DOCS / "api").glob("*.rst")):
        module = ""
        for kind, name in _DIRECTIVE.findall(page.read_text("utf-8")):
            if kind == "py:currentmodule":
                module = name
                continue
            if kind == "automodule":
                module = name
            path = name if name.startswith("mementum.") else f"{module}.{name}"
            things.append(found(path))
    return things


def is_documented(thing: Any, pages: set[int]) -> bool:
    """Whether something has an entry, or is a module of which all names have one."""
    if id(thing) in pages:
        return True
    names = thing.__all__ if isinstance(thing, ModuleType) else ()
    return bool(names) and all(
        is_documented(getattr(thing, name), pages) for name in names
    )


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_in_the_reference(module: str) -> None:
    pages = set(map(id, documented()))
    public = import_module(module)
    assert not [
        name
        for name in public.__all__
        if not is_documented(getattr(public, name), pages)
    ]
