"""How runs begin: all contenders of a seed alike, or they are not compared."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

from mementum.lab.errors import LabError
from mementum.lab.records.run import RunRecord, Status

ALIKE = 1e-4
"""How far scores before training may be apart, as a share: a device sums in any order,
and other parameters change a score by more."""


class UnlikeError(LabError):
    """Runs of one seed began otherwise, so that contenders cannot be compared."""


class _Beginning(NamedTuple):
    contender: str
    score: float | None
    batches: str


_Key: TypeAlias = tuple[object, ...]


class Beginnings:
    """How each seed of each task began, on each kind of machine."""

    def __init__(self) -> None:
        self._known: dict[_Key, _Beginning] = {}

    def check(self, record: RunRecord) -> None:
        """Compare a run with those of its seed.

        Errors: `UnlikeError` where its first score or its first batches are others.
        """
        if record.status is Status.FAILED:
            return
        spec, curve = record.spec, record.curve
        first = curve.validation[0] if curve.steps[:1] == (0,) else None
        mine = _Beginning(spec.contender_label, first, record.batches)
        machine = tuple(sorted(record.environment.items()))
        key = (spec.task_label, spec.task_version, spec.data, spec.steps, spec.seed)
        other = self._known.setdefault((*key, machine), mine)
        if not _close(mine.score, other.score):
            words = f"scores before training are {mine.score:g} and {other.score:g}"
        elif mine.batches and other.batches and mine.batches != other.batches:
            words = "first batches are others"
        else:
            return
        raise UnlikeError(
            f"{mine.contender} and {other.contender} did not begin alike on "
            f"{spec.task_label} with seed {spec.seed}, as their {words}, so they are "
            "not compared. Draw from the global states of Python, NumPy or torch, or "
            "from a generator made with a seed, and keep nothing from one run to the "
            "next."
        )


def _close(one: float | None, two: float | None) -> bool:
    if one is None or two is None or not (math.isfinite(one) and math.isfinite(two)):
        return True
    return math.isclose(one, two, rel_tol=ALIKE, abs_tol=1e-12)
