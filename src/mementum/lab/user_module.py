"""A Python file of the user's, executed as a module."""

from __future__ import annotations

import importlib.util
import linecache
import sys
from pathlib import Path
from types import ModuleType

from mementum.lab.arguments import Argument, ArgumentError
from mementum.lab.errors import blamed


def executed(path: Path, name: str, asked: Argument) -> ModuleType:
    """Return the module of a file, after executing it under a name.

    Its folder can be imported from meanwhile. Errors: `ArgumentError`, about what was
    `asked`, for no Python file, and `UserCodeError` for what the file raises.
    """
    if not path.is_file():
        raise ArgumentError(asked, f" is {path}, and there is no such file.")
    linecache.checkcache(str(path))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ArgumentError(asked, f" is {path}; give a Python file, its name in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    # Data classes and pickles look their module up.
    sys.modules[name] = module
    try:
        with blamed(path):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.parent))
    return module
