"""optax's own tests, from its wheel, with its lists of optimizers replaced by ours."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.optax.settings import NAMES, factory


def suite(module: str, class_name: str, **replaced: Any) -> Any:
    """Return a class of a module of tests, made with other names before it.

    The tests are parametrised while the class is made, so that what they run over has
    to be put between the top of the module and the class.
    """
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    source = Path(found.origin).read_text("utf-8")
    start = source.index(f"class {class_name}(")
    own = ModuleType(f"{module} of ours")
    # absl looks a test's class up in its module.
    sys.modules[own.__name__] = own
    # So that errors name the lines of the file.
    rest = "\n" * source[:start].count("\n") + source[start:]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        exec(compile(source[:start], found.origin, "exec"), own.__dict__)
        assert replaced.keys() <= own.__dict__.keys()
        own.__dict__.update(replaced)
        exec(compile(rest, found.origin, "exec"), own.__dict__)
    return getattr(own, class_name)


def listed(rate: float, **others: float) -> tuple[dict[str, Any], ...]:
    """Return the members as optax lists its own: no decay, which has other minima."""
    return tuple(
        {
            "opt_name": name,
            "opt_kwargs": {
                "learning_rate": others.get(name, rate),
                "weight_decay": 0.0,
            },
        }
        for name in map(str.lower, NAMES)
    )


def ours(name: str) -> Any:
    """Return a member by the name it has in the lists."""
    return factory(name)
