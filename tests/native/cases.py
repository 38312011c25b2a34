"""Cases drawn at random, the same for the same number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tests.native import memory
from tests.native.memory import Layout, Shape
from torch import Tensor

from mementum.torch import MEMBERS, FamilyOptimizer

Options = dict[str, Any]

SEED = 20_240_801
# Elements of the widest vector: 16 floats. The kernel works in blocks of 1,024.
WIDTH = 16
REAL = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
COMPLEX = (torch.complex64, torch.complex128)
MOMENTS = ("momentum", "square", "peak")
# Whether this torch lets a gradient have another dtype than its parameter.
_MAY_DIFFER = hasattr(Tensor, "grad_dtype")


@dataclass(frozen=True, slots=True)
class Operand:
    """Values, and how they are laid out."""

    values: Tensor
    layout: Layout


@dataclass(frozen=True, slots=True)
class Subject:
    """A parameter, a gradient or none for each step, and moments or none as yet."""

    param: Operand
    grads: list[Operand | None]
    moments: dict[str, Operand]
    steps_taken: int


@dataclass(frozen=True, slots=True)
class Case:
    """An optimizer with its groups, the subjects in each, and a number of steps.

    Where it is `noisy`, something is rounded with noise, and the loop is the measure.
    """

    member: type[FamilyOptimizer]
    options: list[Options]
    groups: list[list[Subject]]
    steps: int
    noisy: bool


def case(number: int, seed: int = SEED) -> Case:
    """Draw the case of a number."""
    rng = np.random.default_rng((seed, number))
    member = MEMBERS[rng.integers(len(MEMBERS))]
    steps = int(rng.integers(1, 4))
    options = _options(member, rng)
    if noisy := rng.random() < 0.25:
        options |= _storage(rng)
    groups: list[list[Subject]] = []
    settings: list[Options] = []
    for _ in range(rng.choice([1, 1, 2])):
        own = _of_group(member, rng)
        settings.append(options | own)
        # A peak is not part of every rule, so it depends on the member and options.
        peak = member.recipe.rule(_hyperparameters(member, settings[-1])).peak
        count = int(rng.choice([1, 1, 2, 5]))
        stored = options.get("state_dtype")
        groups.append([_subject(steps, peak, stored, noisy, rng) for _ in range(count)])
    return Case(member, settings, groups, steps, noisy)


def _hyperparameters(member: type[FamilyOptimizer], options: Options) -> Options:
    defaults = member.recipe.defaults
    return defaults | {k: v for k, v in options.items() if k in defaults}


def _options(member: type[FamilyOptimizer], rng: np.random.Generator) -> Options:
    """Draw what all groups share, which decides what state there is."""
    options: Options = {"maximize": bool(rng.random() < 0.2)}
    names = member.recipe.defaults
    if "variant" in names:
        options["variant"] = str(rng.choice(["paper", "torch", "optax"]))
    if "square_of" in names:
        options["square_of"] = str(rng.choice(["gradient", "momentum", "residual"]))
        options["peak"] = bool(rng.random() < 0.5)
        options["debias_momentum"] = bool(rng.random() < 0.5)
    return options


def _storage(rng: np.random.Generator) -> Options:
    """Draw what moments are stored in, and whether parameters take noise."""
    return {
        "state_dtype": [None, torch.bfloat16, "float8", "float8"][rng.integers(4)],
        "stochastic_rounding": bool(rng.random() < 0.6),
        "seed": int(rng.integers(0, 3)),
    }


def _of_group(member: type[FamilyOptimizer], rng: np.random.Generator) -> Options:
    """Draw hyperparameters; each keeps its default in a third of the cases."""
    share = [0.0, 0.5, 0.9, 0.99, 0.999]
    growing = member.__name__ in ("AdaX", "AdaXW")
    second = [0.0, 1e-8, 1e-4, 1e-2, 0.3] if growing else [*share, 0.999999]
    if member.__name__ == "AdamNX":
        second[0] = 0.1
    drawn: Options = {
        "lr": float(rng.choice([0.0, 1e-8, 1e-3, 0.1, 10.0])),
        "betas": (float(rng.choice(share)), float(rng.choice(second))),
        "momentum": float(rng.choice(share)),
        "memory": float(rng.choice([0.0, 0.9, 0.999, 1.0, 1.0001, 1.01, 3.0])),
        "eps": float(rng.choice([0.0, 1e-16, 1e-8, 1e-3, 1e-45, 1e50])),
        "weight_decay": float(rng.choice([0.0, 1e-50, 5e-4, 0.1, 1.0])),
        "decoupled_weight_decay": bool(rng.random() < 0.5),
    }
    known = {"lr", *member.recipe.defaults}
    return {
        name: value
        for name, value in drawn.items()
        if name in known and rng.random() < 0.67
    }


def _subject(
    steps: int, peak: bool, stored: Any, noisy: bool, rng: np.random.Generator
) -> Subject:
    shape = shapes(rng)
    dtype = _dtype(rng)
    if noisy:
        dtype = (torch.float32, torch.bfloat16, torch.float16)[rng.integers(3)]
    if stored == "float8" and rng.random() < 0.7:
        # Rows that are a multiple of a block of 256, and rows that are not.
        row = int(rng.choice([1, 255, 256, 257, 512, 1_000, 2_049, 5_000]))
        shape = (-(-4_096 // row) + int(rng.integers(0, 3)), row)
        shape = (shape[0], *((5, row // 5) if row % 5 == 0 else (row,)))
    taken = 0
    moments: dict[str, Operand] = {}
    if rng.random() < 0.7 and stored != "float8":
        taken = int(rng.choice([1, 2, 10, 999, 2**24, 2**31]))
        moments = _moments(shape, dtype, peak, stored, rng)
    grads: list[Operand | None] = []
    grad_dtype = dtype
    if _MAY_DIFFER and not dtype.is_complex and rng.random() < 0.3:
        grad_dtype = REAL[rng.integers(len(REAL))]
    for _ in range(steps):
        if rng.random() < 0.1:
            grads.append(None)
            continue
        repeats = rng.random() < 0.15
        layout = _laid_out(shape, rng, repeats=repeats)
        values = _values(shape, grad_dtype, rng, broken=rng.random() < 0.15)
        values = memory.seen_once(values, layout).expand(shape).clone()
        grads.append(Operand(values, layout))
    values = _values(shape, dtype, rng, broken=rng.random() < 0.05)
    param = Operand(values, _laid_out(shape, rng))
    return Subject(param, grads, moments, taken)


def _moments(
    shape: Shape,
    dtype: torch.dtype,
    peak: bool,
    stored: torch.dtype | None,
    rng: np.random.Generator,
) -> dict[str, Operand]:
    wide = stored or torch.promote_types(dtype, torch.float32)
    # Moments loaded from a run in float64, or left behind by model.double().
    if dtype in REAL and stored is None and rng.random() < 0.15:
        wide = torch.float64 if wide == torch.float32 else torch.float32
    alike = rng.random() < 0.5
    shared = _laid_out(shape, rng)
    operands = {}
    for name in MOMENTS[: 3 if peak else 2]:
        values = _values(shape, wide, rng, broken=rng.random() < 0.05)
        if name != "momentum":
            values = _squared(values)
        operands[name] = Operand(values, shared if alike else _laid_out(shape, rng))
    return operands


def _squared(values: Tensor) -> Tensor:
    if not values.is_complex():
        return values * values
    parts = torch.view_as_real(values)
    return torch.view_as_complex(parts * parts)


def _laid_out(
    shape: Shape, rng: np.random.Generator, *, repeats: bool = False
) -> Layout:
    """Draw a layout: dense in a third of the cases, and aligned to its elements."""
    layout = memory.draw(shape, rng, repeats=repeats)
    if rng.random() < 0.33 and not repeats:
        layout = memory.dense(shape)
    return layout._replace(offset=memory.MARGIN + int(rng.integers(17)))


def _dtype(rng: np.random.Generator) -> torch.dtype:
    if rng.random() < 0.1:
        return COMPLEX[rng.integers(2)]
    return REAL[rng.integers(4)]


def shapes(rng: np.random.Generator) -> Shape:
    """Draw a shape of rank 0 to 5: small ones, widths of a vector, edges of a block."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return tuple(int(n) for n in rng.integers(0, 6, int(rng.integers(0, 6))))
    if kind == 1:
        edge = int(rng.integers(0, 4 * WIDTH + 1))
    elif kind == 2:
        edge = 2 ** int(rng.integers(1, 13)) + int(rng.integers(-1, 2))
    else:
        edge = int(rng.integers(0, 300))
    rest = [1, 1, 1, 2, 3] if edge < 2_000 else [1]
    sizes = [edge, *(int(n) for n in rng.choice(rest, int(rng.integers(0, 5))))]
    return tuple(int(n) for n in rng.permutation(sizes))


def _values(
    shape: Shape, dtype: torch.dtype, rng: np.random.Generator, *, broken: bool = False
) -> Tensor:
    """Draw values of one kind, or of several, the last kinds only where `broken`."""
    if dtype.is_complex:
        part = torch.float32 if dtype == torch.complex64 else torch.float64
        parts = _values((*shape, 2), part, rng, broken=broken)
        return torch.view_as_complex(parts.new_empty(parts.shape).copy_(parts))
    normal = rng.standard_normal(shape)
    # 1e-42 is denormal in float32, bfloat16 and float16; 1e30 squared leaves float32.
    scale = rng.choice([1.0, 1e-3, 1e3, 0.0, 1e-42, 1e-30, 1e30])
    if rng.random() < 0.5:
        scale = np.asarray(10.0 ** rng.uniform(-8, 4, shape))
    drawn = normal * scale
    if broken:
        odd = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e38], shape)
        drawn = np.where(rng.random(shape) < rng.choice([0.01, 0.3, 1.0]), odd, drawn)
    return torch.from_numpy(np.asarray(drawn, dtype=np.float64)).to(dtype)
