"""A run is one training from start to end: what decides it, and what came of it."""

from __future__ import annotations

import enum
import hashlib
import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, TypeAlias

from mementum.lab.records import codec

FORMAT = 2
"""Version of the records' JSON form. Version 1 is read too; any other is refused."""
CONSTANT = "constant"
"""The schedule that leaves the learning rate alone."""
COSINE = "cosine"
"""The schedule that warms up and decays to nothing."""
SINGLE = "single"
"""The form of a run that is trained by itself."""
STACKED = "stacked"
"""The form of a run that is a row of one batched model."""
CPU = "cpu"
"""The device of a run that is trained on no accelerator."""


class Status(enum.StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    """It ran to its last step and has a finite score."""
    DIVERGED = "diverged"
    """A result: its loss or score was not finite, or its loss passed the limit."""
    FAILED = "failed"
    """An error of the lab, the optimizer or the machine: no result."""


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Everything that decides a run's result, and nothing else."""

    task: str
    task_version: int
    data: str
    """sha256 of the task's data, in hex."""
    contender: str
    options: dict[str, Option]
    """Every hyperparameter but the learning rate."""
    lr: float
    seed: int
    steps: int
    versions: dict[str, str]
    schedule: str = CONSTANT
    """How the learning rate goes over the run."""
    match_updates: bool = False
    """Whether every update has the root mean square of the learning rate."""
    probe: str | None = None
    """What is measured in the place of the task's metric."""
    matched_memory: bool = False
    """Whether the options are those of a memory matched to the length of the run."""
    form: str = SINGLE
    """How it is computed: by itself, or as a row of one batched model."""
    device: str = CPU
    """The kind of device that it is trained on."""

    @property
    def task_label(self) -> str:
        """The task under all that its training changes: "mlp-digits+cosine"."""
        return label(self.task, self.schedule, self.match_updates, self.probe)

    @property
    def contender_label(self) -> str:
        """The contender as a comparison lists it: "AdaXW-matched"."""
        return f"{self.contender}-matched" if self.matched_memory else self.contender

    @property
    def labels(self) -> tuple[str, str]:
        """The labels of task and contender: whose grid of learning rates it is on."""
        return self.task_label, self.contender_label

    # An analysis asks for it a dozen times, and what it is made of never changes.
    @cached_property
    def run_id(self) -> str:
        """The sha256, in hex, of the spec's canonical JSON.

        Form and device are in it where they are not the usual ones: runs that were
        made before there was a choice keep their names.
        """
        plain = asdict(self)
        for name, usual in {"form": SINGLE, "device": CPU}.items():
            if plain[name] == usual:
                del plain[name]
        return hashlib.sha256(compact(plain).encode()).hexdigest()


def label(
    task: str,
    schedule: str = CONSTANT,
    match_updates: bool = False,
    probe: str | None = None,
) -> str:
    """Return the words by which a task and the conditions of its training are shown."""
    words = [task]
    if schedule != CONSTANT:
        words.append(schedule)
    if match_updates:
        words.append("matched")
    if probe is not None:
        words.append(probe)
    return "+".join(words)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The learning curve: training objective and metric on the evaluation grid.

    The grid is equal for all contenders of a task. A value that is not finite is nan.
    """

    steps: tuple[int, ...]
    train: tuple[float, ...]
    validation: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What came of a run."""

    spec: RunSpec
    status: Status
    score: float | None
    """The task's metric after the last step; None unless the run finished."""
    curve: Curve
    """Shorter than the grid where the run did not finish."""
    seconds: float
    """Wall-clock time of the whole run."""
    optimizer_seconds: float
    """Wall-clock time inside ``optimizer.step()`` alone."""
    parameters: int
    """Number of trained scalars."""
    error: str | None
    environment: dict[str, str]
    batches: str = ""
    """A digest of the first batches, where the task says which they were."""

    def to_json(self) -> str:
        """Return the record as one line of JSON, with null for what is not finite."""
        return compact({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, line: str) -> RunRecord:
        """Return the record that ``to_json`` wrote.

        Raises ``FormatError`` for another version of the form, and ``ValueError`` for a
        line that holds no record.
        """
        plain = json.loads(line)
        if not isinstance(plain, dict) or "format" not in plain:
            raise ValueError("the line holds no record of a run")
        version = plain.pop("format")
        if version not in (1, FORMAT):
            raise FormatError(version)
        try:
            curve = plain.pop("curve")
            record = cls(
                spec=read_spec(plain.pop("spec"), version),
                status=Status(plain.pop("status")),
                curve=Curve(
                    steps=tuple(curve["steps"]),
                    train=_numbers(curve["train"]),
                    validation=_numbers(curve["validation"]),
                ),
                **plain,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the record is incomplete: {error}") from error
        _check(record)
        return record


_SCHEDULES_1 = ("root", "drops", "decline", "cosine")
_PROBES_1 = ("sharpness", "adaptive", "change", "turn")


def read_spec(plain: dict[str, Any], version: int) -> RunSpec:
    """Return the spec that was written in this version of the form.

    Version 1 had in names what are fields now: schedule, probe, matched updates and
    matched memory.
    """
    fields = dict(plain)
    if version == 1:
        task, *words = fields["task"].split("+")
        while words and words[-1] in (*_SCHEDULES_1, *_PROBES_1, "matched"):
            word = words.pop()
            if word in _SCHEDULES_1:
                fields["schedule"] = word
            elif word in _PROBES_1:
                fields["probe"] = word
            else:
                fields["match_updates"] = True
        fields["task"] = "+".join([task, *words])
        fields["matched_memory"] = fields["contender"].endswith("-matched")
        fields["contender"] = fields["contender"].removesuffix("-matched")
    return RunSpec(**fields)


class FormatError(ValueError):
    """A record is written in another version of the form than this one reads."""

    def __init__(self, version: object) -> None:
        super().__init__(f"format {version}, and this version reads format {FORMAT}")


SPEC = {
    "task": codec.TEXT,
    "task_version": codec.WHOLE,
    "data": codec.TEXT,
    "contender": codec.TEXT,
    "options": codec.OPTIONS,
    "lr": codec.NUMBER,
    "seed": codec.WHOLE,
    "steps": codec.WHOLE,
    "versions": codec.TEXTS,
    "schedule": codec.TEXT,
    "match_updates": codec.FLAG,
    "probe": codec.TEXT_OR_NONE,
    "matched_memory": codec.FLAG,
    "form": codec.TEXT,
    "device": codec.TEXT,
}
_CURVE = {"steps": codec.WHOLES, "train": codec.NUMBERS, "validation": codec.NUMBERS}
_RECORD = {
    "score": codec.NUMBER_OR_NONE,
    "seconds": codec.NUMBER,
    "optimizer_seconds": codec.NUMBER,
    "parameters": codec.WHOLE,
    "error": codec.TEXT_OR_NONE,
    "environment": codec.TEXTS,
    "batches": codec.TEXT,
}


def _check(record: RunRecord) -> None:
    """Raise a ValueError for a value that no run can leave."""
    codec.check(record, _RECORD)
    codec.check(record.spec, SPEC)
    codec.check(record.curve, _CURVE)
    if (record.score is None) is (record.status is Status.FINISHED):
        raise ValueError(f"score is {record.score} and status {record.status}")
    curve = record.curve
    if not len(curve.steps) == len(curve.train) == len(curve.validation):
        raise ValueError("the parts of the curve differ in length")


def compact(value: object) -> str:
    """Return canonical JSON: sorted keys, no spaces, shortest floats, no nan."""
    return json.dumps(
        strict(value), sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def strict(value: Any) -> Any:
    """Return the value with null in place of every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [strict(inner) for inner in value]
    return value


def _numbers(values: list[float | None]) -> tuple[float, ...]:
    """Return the values with nan in place of null."""
    return tuple(math.nan if value is None else value for value in values)


Option: TypeAlias = float | int | str | bool | list[float]
