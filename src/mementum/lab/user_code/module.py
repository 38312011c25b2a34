"""A Python file of the user's, run as Python runs a script."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import linecache
import os
import re
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TextIO

from mementum.lab import arguments
from mementum.lab.arguments import Argument, ArgumentError
from mementum.lab.errors import blamed
from mementum.lab.user_code.chance import seeded
from mementum.lab.user_code.hidden_state import HiddenState
from mementum.lab.user_code.settings import Settings, put, put_environment

_inside: list[UserModule] = []
"""The files whose code is running, the innermost last."""


_output: TextIO | None = None
"""Where prints go; standard errors if nowhere else."""


def silence() -> None:
    """Let nobody see what users' code prints: the rehearsal has shown it."""
    global _output  # noqa: PLW0603 - a process has one output
    _output = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
    os.dup2(_output.fileno(), 1)


class UserModule:
    """The module of a file, after executing it, with a home of its own.

    At home its folder can be imported from, and what was imported from there is known
    by its name; elsewhere nobody sees either. So two files may each have a `utils`.
    What the file sets for the process is set at home alone.
    """

    def __init__(self, path: Path, prefix: str, asked: Argument) -> None:
        """Execute a file.

        Args:
            path: The file.
            prefix: Begins the module's name where the file's own is taken.
            asked: The argument that names the file.

        Errors: `ArgumentError` for no Python file, `UserCodeError` for what it raises.
        """
        arguments.file(asked, path)
        name = _free_name(path, prefix)
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ArgumentError(
                asked, f" is {path}; give a Python file, its name in .py."
            )
        linecache.checkcache(str(path))
        importlib.invalidate_caches()
        self.path = path
        self._given = path, prefix, asked
        self.folders = [path.resolve().parent]
        self.module = importlib.util.module_from_spec(spec)
        self._modules = {name: self.module}
        before = Settings()
        try:
            with seeded(), self.imports(), blamed(path):
                # What it prints is none of the lab's answers.
                sys.stdout, sys.argv[:] = _output or sys.stderr, [str(path)]
                spec.loader.exec_module(self.module)
        finally:
            self._changes = before.changes()
            self._environment = before.environment()
            before.restore()
        self.code = _digest(path, self.module, self._modules)
        """The sha256, in hex, of the file and of what it imported from beside it."""
        self.settle()

    def again(self) -> UserModule:
        """Return the file executed anew, with modules of its own again."""
        return UserModule(*self._given)

    def settle(self) -> None:
        """Take what its modules keep by now for what a run begins with."""
        self._settled = {*self._modules}, self._hidden()

    def changed(self) -> bool:
        """Return whether its modules keep anything else since they were settled.

        What was imported since is forgotten: the next run imports it anew.
        """
        names, hidden = self._settled
        for name in self._modules.keys() - names:
            del self._modules[name]
        return self._hidden() != hidden

    def _hidden(self) -> str:
        return HiddenState().of(*map(vars, self.modules))

    @contextmanager
    def at_home(self) -> Generator[None, None, None]:
        """Set what the file has set, and let it find its modules; then set it back."""
        outer = Settings()
        try:
            with self.imports():
                put(self._changes)
                put_environment(self._environment)
                sys.stdout = _output or sys.stderr
                yield
        finally:
            outer.restore()

    @contextmanager
    def imports(self) -> Generator[None, None, None]:
        """Let the file's code import what lies beside it, or where it says."""
        if _inside and _inside[-1] is self:
            yield
            return
        away = _taken_away(self.folders)
        known = {*sys.modules}
        path = [*sys.path]
        sys.modules.update(self._modules)
        sys.path[:0] = [str(folder) for folder in self.folders]
        _inside.append(self)
        try:
            yield
        finally:
            _inside.pop()
            self._learn(known, path)
            sys.path[:] = path
            for name in self._modules:
                sys.modules.pop(name, None)
            sys.modules.update(away)

    def _learn(self, known: set[str], path: list[str]) -> None:
        """Keep what the code imported from its folders, those that it added too."""
        added = (Path(each).resolve() for each in sys.path if each not in path)
        self.folders += [each for each in added if each not in self.folders]
        for name in sys.modules.keys() - known:
            if _lies_in(self.folders, name, sys.modules[name]):
                self._modules[name] = sys.modules[name]

    @property
    def modules(self) -> tuple[ModuleType, ...]:
        """Its own module, and those that it imported from its folders."""
        return tuple(self._modules.values())


_KEPT = {*sys.stdlib_module_names, "mementum", "torch", "numpy"}
"""What a file beside another one does not take the place of."""


def _free_name(path: Path, prefix: str) -> str:
    """Return the name by which a neighbour would import the file, if it is free."""
    stem = path.stem
    if stem.isidentifier() and stem not in _KEPT:
        known = sys.modules.get(stem)
        with suppress(ImportError, ValueError):
            spec = known.__spec__ if known else importlib.util.find_spec(stem)
            if spec is None or spec.origin == str(path):
                return stem
    return prefix + re.sub(r"\W", "_", stem)


def _taken_away(folders: Iterable[Path]) -> dict[str, ModuleType]:
    """Take the modules away whose names are imported from these folders first."""
    names = set[str]()
    for folder in folders:
        names |= {each.stem for each in folder.glob("*.py")}
        names |= {each.parent.name for each in folder.glob("*/__init__.py")}
    found = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in names - _KEPT
    }
    for name in found:
        del sys.modules[name]
    return found


def _lies_in(folders: Iterable[Path], name: str, module: object) -> bool:
    """Return whether a module was imported from one of these folders."""
    top = name.partition(".")[0]
    if top in _KEPT:
        return False
    file = getattr(module, "__file__", None)
    found = [file] if file else [*getattr(module, "__path__", ())]
    places = [Path(each).resolve() for each in found]
    return any(
        place == folder / f"{top}.py" or place.is_relative_to(folder / top)
        for place in places
        for folder in folders
    )


def _digest(path: Path, own: ModuleType, modules: Mapping[str, ModuleType]) -> str:
    """Return the digest of a file and of the other modules; alone, it is the file's."""
    digest = hashlib.sha256(path.read_bytes())
    for name, module in sorted(modules.items()):
        if module is not own and module.__file__:
            digest.update(name.encode())
            digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()
