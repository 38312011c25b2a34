"""What of mementum.optax works here, as the doctor's page shows it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from mementum import install, machine
from mementum.doctor.page import Finding, Page, cell, fact, filled, plain, wrong
from mementum.family.recipes import RECIPES
from mementum.family.reference import State, update

_PACKAGE = "mementum.optax"
# Positive both, so that no sum of a first step cancels and every rounding stays small.
_PARAM = np.linspace(0.5, 1.5, 67).astype(np.float32)
_GRAD = np.linspace(0.01, 2.0, 67).astype(np.float32)
# Units in the last place of the update. Twelve numbers rounded to float32 and the
# operations on them make at most this many roundings, each of a unit at most, where
# those under the root count half.
_ALLOWED = 16.0


def report(page: Page) -> list[Finding]:
    """Tell what is here and return what is wrong."""
    # JAX would take three quarters of a GPU's memory, for a few numbers.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax: Any = import_module("jax")
    found = page.data["jax"]
    jaxlib = found["versions"]["jaxlib"] = machine.version("jaxlib")
    page.say(fact("jaxlib", jaxlib or "of no known version"))
    try:
        backend, devices = jax.default_backend(), jax.devices()
    except RuntimeError as error:
        return [
            Finding(
                f"JAX has no backend here: {error}",
                "Set JAX_PLATFORMS=cpu, or install the jaxlib of this machine's GPU.",
            )
        ]
    kinds = Counter(device.device_kind for device in devices)
    here = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    exact = hasattr(jax, "enable_x64")
    found |= {"backend": backend, "devices": dict(kinds), "enable_x64": exact}
    page.say(fact("JAX's backend", backend))
    page.say(fact("JAX's devices", here))
    page.say(fact("jax.enable_x64", "there" if exact else "none"))
    findings = [] if exact else [_too_old()]
    if find_spec(_PACKAGE) is None:
        page.say(
            "\n" + filled(f"There is no {_PACKAGE} here: no member's step is tried.")
        )
        return findings
    errors = {name: _error(name) for name in RECIPES}
    found["checks"] = [
        {"name": name, "error": plain(error), "right": _right(error)}
        for name, error in errors.items()
    ]
    page.say("\n" + _steps(errors))
    return [*findings, *_of_steps(errors)]


def _too_old() -> Finding:
    return Finding(
        "JAX has no jax.enable_x64, under which a step's numbers are computed.",
        f"It came with jax 0.8: run {install.command('jax', '--upgrade')}.",
    )


def _error(name: str) -> float | str:
    """Return the largest error of a member's first update, in units in the last place.

    In its place stands the sentence with which the step failed.
    """
    recipe = RECIPES[name]
    try:
        member = getattr(import_module(_PACKAGE), name.lower())(recipe.lr)
        param, grad = map(import_module("jax.numpy").asarray, (_PARAM, _GRAD))
        got, _ = member.update(grad, member.init(param), param)
        got = np.asarray(got, dtype=np.float64)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return f"{type(error).__name__}: {error}"
    rule = recipe.function()
    start = State.start(_PARAM)
    end = update(rule.at(1, recipe.lr), _GRAD, start, peak=rule.peak)
    want = end.p - start.p
    units = np.abs(got - want) / np.spacing(np.abs(want).astype(np.float32))
    return float("inf") if np.isnan(units).any() else float(units.max())


def _right(error: float | str) -> bool:
    return not isinstance(error, str) and error <= _ALLOWED


def _steps(errors: Mapping[str, float | str]) -> str:
    intro = (
        f"One step of each member of {_PACKAGE} beside the reference: the largest "
        f"error of the update in units in the last place ({_ALLOWED:g} are allowed)."
    )
    rows = [f"  {name:<13}{cell(e, _ALLOWED):>10}" for name, e in errors.items()]
    return filled(intro) + "\n\n" + "\n".join(rows)


def _of_steps(errors: Mapping[str, float | str]) -> Iterator[Finding]:
    for name, error in errors.items():
        if not _right(error):
            yield Finding(
                f"{_PACKAGE}.{name.lower()}: its step {wrong(error)}.",
                "Update jax and optax; if this stays, report it with this page.",
            )
