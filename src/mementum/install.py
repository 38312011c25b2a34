"""How mementum is installed: what every error, and the doctor, says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# What is imported of an extra: without one of them, nothing that needs it works.
PACKAGES = {
    "torch": ("torch",),
    "jax": ("jax", "optax"),
    "trainers": ("transformers", "lightning"),
    "lab": ("torch", "duckdb", "scipy", "sklearn", "rich", "jinja2", "matplotlib"),
}


def command(extra: str = "", *options: str) -> str:
    """Return what installs mementum, with an extra where one is named.

    >>> command("lab")
    "`pip install '.[lab]'` in a clone of mementum"
    """
    target = f"'.[{extra}]'" if extra else "."
    words = " ".join(["pip install", *options, target])
    return f"`{words}` in a clone of mementum"


def missing(what: str, package: str, extra: str) -> ModuleNotFoundError:
    """Return the error that `what` needs a package, and which extra brings it."""
    return ModuleNotFoundError(
        f"{what} needs {package}: run {command(extra)}.", name=package
    )


@contextmanager
def needing(what: str, extra: str) -> Iterator[None]:
    """Name `what` and an extra where an import finds a package of it missing.

    A package that is there and fails to be imported is not missing: its error passes.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES[extra]:
            raise
        raise missing(what, error.name, extra) from None
