"""What can be named to `mementum bench`, known before torch or JAX is imported."""

from __future__ import annotations

from collections.abc import Sequence

from mementum.family.limits import resolve
from mementum.family.recipes import RECIPES

IN_LOOP = ("perceptron", "convolutions", "layer", "adapters", "vectors")
ALONE = (
    "16m",
    "300x1000",
    "60x1000",
    "resnet18",
    "transformer",
    "strided",
    "transposed",
)
ON_DEVICE = ("256m", "llama", "1000x1m", "300x1000", "odd", "tiny")
FORMATS = (
    "float32",
    "float32+bfloat16",
    "float32+float8",
    "bfloat16+float32",
    "bfloat16",
    "bfloat16+float8",
)
"""Of parameters and moments on a device."""
CLASSES = tuple(RECIPES)


def cases(names: str | None, *, in_loop: bool) -> tuple[str, ...] | None:
    """Return the cases that a list with commas names; None asks for all.

    Errors: `ValueError` for a name of nothing, with the nearest ones.
    """
    return _named("case", names, IN_LOOP if in_loop else (*IN_LOOP, *ALONE))


def cases_on_device(names: str | None) -> tuple[str, ...] | None:
    """Return the cases on a device; see `cases`."""
    return _named("case", names, ON_DEVICE)


def classes(names: str | None) -> tuple[str, ...] | None:
    """Return the optimizers; see `cases`."""
    return _named("optimizer", names, CLASSES)


def formats(names: str | None) -> tuple[str, ...] | None:
    """Return the formats on a device; see `cases`."""
    return _named("format", names, FORMATS)


def _named(
    kind: str, names: str | None, known: Sequence[str]
) -> tuple[str, ...] | None:
    if names is None:
        return None
    return tuple(dict.fromkeys(resolve(kind, name, known) for name in names.split(",")))
