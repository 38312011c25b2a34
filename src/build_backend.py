"""The build backend: scikit-build-core's, and before it the scripts for shells.

The scripts are made here, so that nobody needs shtab who only uses them. The parser
that they are made of needs the standard library alone.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

_SCRIPTS = Path(__file__).parent / "mementum" / "completion"


def build_wheel(folder: str, settings: Any = None, metadata: str | None = None) -> str:
    """Build a wheel, with the scripts in it."""
    _write_if_allowed()
    return str(__getattr__("build_wheel")(folder, settings, metadata))


def build_editable(
    folder: str, settings: Any = None, metadata: str | None = None
) -> str:
    """Build an editable wheel, with the scripts beside their module."""
    _write_if_allowed()
    return str(__getattr__("build_editable")(folder, settings, metadata))


def __getattr__(name: str) -> Any:
    """Leave all else to scikit-build-core, which only a build needs."""
    return getattr(import_module("scikit_build_core.build"), name)


def _write_if_allowed() -> None:
    # A tree that cannot be written gives the whole package, less its scripts.
    with suppress(PermissionError):
        write()


def write() -> None:
    """Write the script of each shell."""
    from mementum.completion import SHELLS

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
