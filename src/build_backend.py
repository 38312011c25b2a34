"""The build backend: scikit-build-core's, and before it the files that are made.

The scripts for shells are made here, so that nobody needs shtab who only uses them. The
parser that they are made of needs the standard library alone. The digest of the kernel
is written here, so that a wheel needs no sources of it.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

_SCRIPTS = Path(__file__).parent / "mementum" / "completion"


def build_wheel(
    folder: str, settings: dict[str, Any] | None = None, metadata: str | None = None
) -> str:
    """Build a wheel, with what is made in it."""
    if not _written():
        # Without the record of their digest, the sources go into the wheel.
        settings = {**(settings or {}), "wheel.exclude": "**/__pycache__"}
    return str(__getattr__("build_wheel")(folder, settings, metadata))


def build_sdist(folder: str, settings: dict[str, Any] | None = None) -> str:
    """Build a source distribution, with what is made in it."""
    _written()
    return str(__getattr__("build_sdist")(folder, settings))


def build_editable(
    folder: str, settings: dict[str, Any] | None = None, metadata: str | None = None
) -> str:
    """Build an editable wheel, with what is made in its place."""
    _written()
    return str(__getattr__("build_editable")(folder, settings, metadata))


def __getattr__(name: str) -> Any:
    """Leave all else to scikit-build-core, which only a build needs."""
    return getattr(import_module("scikit_build_core.build"), name)


def _written() -> bool:
    """Write what is made, and say whether that was possible.

    A tree that cannot be written gives the whole package, less the scripts.
    """
    try:
        write()
    except OSError:
        return False
    return True


def write() -> None:
    """Write the script of each shell, and the digest of the kernel's sources."""
    from mementum.completion import SHELLS
    from mementum.sources import RECORD, native_digest

    package = _SCRIPTS.parent
    (package / RECORD).write_text(f"{native_digest([package])}\n", encoding="ascii")
    for shell in SHELLS:
        path = _SCRIPTS / f"mementum.{shell}"
        path.write_text(script(shell), encoding="utf-8", newline="\n")


def script(shell: str) -> str:
    """Return a shell's script, made anew."""
    import shtab

    from mementum.cli import parser

    root = parser()
    _prepare(root)
    return f"{shtab.complete(root, shell).rstrip()}\n"


def _prepare(parser: argparse.ArgumentParser) -> None:
    """Say which arguments are files, folders and optimizers, in a parser to be read."""
    import shtab

    from mementum.family.recipes import RECIPES

    kinds = {"FILE": shtab.FILE, "SOURCE": shtab.FILE, "FOLDER": shtab.DIRECTORY}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                command.description = None  # A shell shows the line of the list.
                _prepare(command)
            continue
        kind = kinds.get(str(action.metavar or action.dest).upper())
        if kind is not None:
            action.complete = kind  # type: ignore[attr-defined]
        elif action.metavar == "NAME" and action.dest == "names":
            action.choices = list(RECIPES)


if __name__ == "__main__":
    write()
