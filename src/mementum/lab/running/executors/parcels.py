"""Parcels: what a worker carries out at a time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeAlias

from mementum.lab.records.run import STACKED, RunSpec

Parcel: TypeAlias = tuple[RunSpec, ...]
"""A run by itself, or the rows of one stack."""
MOST = 64
"""Rows of a stack at most: more gain little, and more is lost with a worker."""


def cut(specs: Sequence[RunSpec], workers: int) -> list[Parcel]:
    """Return the runs in parcels, so that each worker has some, in their order.

    Stacked runs of one task, size and device share parcels, those of a seed side by
    side, as their batches are drawn once. Where they are cut changes no row.
    """
    stacks: dict[tuple[object, ...], list[RunSpec]] = {}
    for spec in specs:
        alike = spec.task, spec.task_version, spec.data, spec.steps, spec.device
        key = alike if spec.form == STACKED else (spec.run_id,)
        stacks.setdefault(key, []).append(spec)
    found = list[Parcel]()
    for rows in stacks.values():
        rows.sort(key=lambda spec: spec.seed)
        many = max(-(-len(rows) // MOST), min(workers, len(rows)))
        ends = [len(rows) * place // many for place in range(many + 1)]
        found += [tuple(rows[a:b]) for a, b in itertools.pairwise(ends)]
    return found


def halves(parcel: Parcel) -> list[Parcel]:
    """Return the two halves of a parcel, one of which may be what ended its worker."""
    middle = len(parcel) // 2
    return [parcel[:middle], parcel[middle:]]
