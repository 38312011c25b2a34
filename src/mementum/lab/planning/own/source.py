"""Where an optimizer of the user's own is: a file, a dotted path, or a class at hand.

What is found there has an identity, which is part of its runs': the digest of its
source, with the dotted path and the version of its package where it has them.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import marshal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType

from torch.optim import Optimizer

from mementum.lab.arguments import Argument, ArgumentError
from mementum.lab.errors import blamed
from mementum.lab.user_code.module import UserModule

_ONE = Argument("contender")


@dataclass(frozen=True)
class Source:
    """A module of the documented form, or a class of optimizers."""

    subject: ModuleType | type[Optimizer]
    path: Path
    """The file whose lines an error names."""
    place: str
    """The file, or the dotted path."""
    identity: str
    """What tells its runs from those of another source. It begins with the dotted path
    by which any process finds the source again, or with "file"."""
    home: Callable[[], AbstractContextManager[None]] = nullcontext
    """What lets the code of a file import what lies beside it."""
    renewed: Callable[[], Source | None] = lambda: None
    """Return a file executed anew, if anything that its modules keep has changed."""


def locate(asked: object) -> Source:
    """Return what a file, a dotted path or a class is; `ArgumentError` if nothing."""
    if isinstance(asked, type):
        return _class(asked, f"{asked.__module__}:{asked.__qualname__}")
    text = str(asked).strip()
    if isinstance(asked, Path) or text.endswith(".py") or "/" in text:
        return from_file(Path(text).resolve())
    return from_dotted(text)


def from_file(path: Path) -> Source:
    """Return the source that a Python file is, after executing it."""
    content = path.read_bytes() if path.is_file() else b""
    file = _executed(path, hashlib.sha256(content).hexdigest())
    return _of_file(file)


def _of_file(file: UserModule) -> Source:
    """Return the source that an executed file is."""
    path = file.path

    def renewed() -> Source | None:
        return _of_file(file.again()) if file.changed() else None

    identity = f"file {file.code[:12]}"
    return Source(file.module, path, path.name, identity, file.imports, renewed)


@functools.cache
def _executed(path: Path, content: str) -> UserModule:
    """Return a file, executed once for each content it has."""
    return UserModule(path, "mementum_contender_", _ONE)


def from_dotted(text: str) -> Source:
    """Return what a dotted path names: package.module:Class, or a dot for the colon."""
    module, name = _imported(text)
    found: object = module
    for part in filter(None, name.split(".")):
        found = getattr(found, part, None)
        if found is None:
            raise ArgumentError(
                _ONE,
                f" is {text}, and {module.__name__} has no {name}; give "
                "package.module:Class, or a file in .py.",
            )
    if isinstance(found, ModuleType):
        path = Path(found.__file__ or found.__name__)
        return Source(found, path, text, _identity(found.__name__ + ":", found))
    return _class(found, f"{module.__name__}:{name}")


def _imported(text: str) -> tuple[ModuleType, str]:
    """Return the module of a dotted path, and the names that are left of it.

    Without a colon, the longest part that is a module is taken for it. The folder at
    hand is looked through last, as `python -m` would.
    """
    before, _, name = text.partition(":")
    parts = before.split(".")
    least = len(parts) if name or not all(parts) else 1
    sys.path.append(str(Path.cwd()))
    try:
        for length in range(len(parts), least - 1, -1):
            module = _module(".".join(parts[:length]))
            if module is not None:
                return module, name or ".".join(parts[length:])
    finally:
        sys.path.pop()
    raise ArgumentError(
        _ONE,
        f" is {text}, and no module of this name is installed; give "
        "package.module:Class, or a file in .py.",
    )


def _module(name: str) -> ModuleType | None:
    """Return a module; None if there is none of this name."""
    if name in sys.modules or not all(name.split(".")):
        return sys.modules.get(name)
    with blamed(Path(name)):  # the packages above it are imported
        try:
            spec = importlib.util.find_spec(name)
        except (ModuleNotFoundError, ValueError):
            spec = None
    if spec is None:
        return None
    with blamed(Path(spec.origin or name)):
        return importlib.import_module(name)


def _class(found: object, asked: str) -> Source:
    """Return the source of a class; anything else is refused."""
    if not (isinstance(found, type) and issubclass(found, Optimizer)):
        kind = "class" if isinstance(found, type) else type(found).__name__
        raise ArgumentError(
            _ONE, f" is {asked}, a {kind} and no class of torch.optim.Optimizer."
        )
    # A class that is known by several paths has one identity, and a script that worker
    # processes call by another name is found by its own.
    module = {"__mp_main__": "__main__"}.get(found.__module__, found.__module__)
    home = f"{module}:{found.__qualname__}"
    own = getattr(sys.modules.get(found.__module__), found.__qualname__, None)
    path = Path(_file(found) or found.__module__)
    identity = _identity(home if own is found else asked, found)
    return Source(found, path, asked, identity)


def _file(found: ModuleType | type) -> str | None:
    """Return the file of the source, if there is one."""
    try:
        return inspect.getsourcefile(found)
    except (OSError, TypeError):
        return None


def _identity(dotted: str, found: ModuleType | type) -> str:
    """Return dotted path, package with its version, and digest of the source."""
    file = _file(found)
    if file is not None and Path(file).is_file():
        content = Path(file).read_bytes()
    else:  # as in a notebook
        code = [getattr(each, "__code__", None) for each in vars(found).values()]
        content = b"".join(marshal.dumps(each) for each in code if each is not None)
    digest = hashlib.sha256(content).hexdigest()[:12]
    top = found.__name__ if isinstance(found, ModuleType) else found.__module__
    return " ".join(filter(None, (dotted, _package(top.partition(".")[0]), digest)))


@functools.cache
def _package(module: str) -> str:
    """Return name and version of the package that brings a module; empty if none."""
    names = metadata.packages_distributions().get(module, ())
    return " ".join(f"{name} {metadata.version(name)}" for name in sorted({*names}))
