"""Synthetic plans and records, for tests of everything that reads them."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from mementum.lab.records.plan import Design
from mementum.lab.records.run import Curve, RunRecord, RunSpec, Status

OPTIONS: dict[str, dict[str, float | int | str | bool | list[float]]] = {
    "SGD": {"momentum": 0.9, "weight_decay": 0.0},
    "Adam": {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
    "AdamW": {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01},
    "AMSGrad": {
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "weight_decay": 0.0,
        "variant": "paper",
    },
    "AdamNC": {"momentum": 0.9, "eps": 1e-8, "weight_decay": 0.0},
    "AdaXW": {"betas": [0.9, 1e-4], "eps": 1e-12, "weight_decay": 0.05},
    "AdamNX": {"betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.01},
    "AdaMomentum": {"betas": [0.9, 0.999], "eps": 1e-16, "weight_decay": 0.0},
}
CENTRES = {"SGD": 0.1, "AdaXW": 5e-3}
ENVIRONMENT = {
    "python": "3.11.7",
    "torch": "2.13.0",
    "mementum": "0.1.0",
    "platform": "Linux x86_64",
    "cpu": "synthetic",
    "threads": "1",
}


@dataclass(frozen=True, kw_only=True)
class SyntheticTask:
    """The facts of a task, without a problem behind them."""

    name: str = "bowl"
    title: str = "a bowl"
    metric: str = "loss"
    steps: int = 100
    deterministic: bool = False
    scale: str = "log"
    margin: float = 0.01
    target: float | None = None
    untrained: float | None = None
    best: float | None = None
    family: str = ""
    schedule: str = "constant"


@dataclass(frozen=True, kw_only=True)
class SyntheticPlan:
    """Every contender on every task, on a half-decade grid of learning rates."""

    tasks: tuple[SyntheticTask, ...] = (SyntheticTask(),)
    contenders: tuple[str, ...] = ("AdamW", "AdaXW")
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    points: int = 5
    reference: str = "AdamW"
    trials: tuple[RunSpec, ...] = ()
    widen: int = 0
    weight_decay: float | None = None
    design: Design | None = None
    left_out: tuple[str, ...] = ()

    @property
    def step_costs(self) -> dict[str, dict[str, float]]:
        """None is measured."""
        return {}

    @property
    def centres(self) -> dict[str, float]:
        """The published learning rate of each contender."""
        return {name: self.lrs(name)[self.points // 2] for name in self.contenders}

    def lrs(self, contender: str) -> tuple[float, ...]:
        """The grid of a contender, ascending."""
        half = self.points // 2
        centre = CENTRES.get(contender, 1e-3)
        return tuple(centre * 10 ** (i / 2) for i in range(-half, half + 1))

    def specs(self) -> list[RunSpec]:
        """All planned runs."""
        return [
            RunSpec(
                task=task.name,
                task_version=1,
                data="0123456789abcdef" * 4,
                contender=contender.removesuffix("-matched"),
                matched_memory=contender.endswith("-matched"),
                options=OPTIONS.get(contender, {"weight_decay": 0.0}),
                lr=lr,
                seed=seed,
                steps=task.steps,
                versions={"mementum": "0.1.0", "torch": "2.13.0"},
            )
            for task in self.tasks
            for contender in self.contenders
            for lr in self.lrs(contender)
            for seed in (self.seeds[:1] if task.deterministic else self.seeds)
        ] + list(self.trials)


def record(spec: RunSpec, score: float | None, start: float = 2.3) -> RunRecord:
    """A record with this score: inf for a diverged run, None for a failed one."""
    finite = score is not None and math.isfinite(score)
    status = Status.FINISHED if finite else Status.DIVERGED
    return RunRecord(
        spec=spec,
        status=Status.FAILED if score is None else status,
        score=score if finite else None,
        curve=descent(spec, score if finite else None, start),
        seconds=1.5,
        optimizer_seconds=spec.steps * 4e-5,
        parameters=4810,
        error=None if score is not None else "MemoryError: out of memory",
        environment=ENVIRONMENT,
    )


def descent(spec: RunSpec, score: float | None, start: float) -> Curve:
    """A curve from `start` to the score; up and away for a run that diverged."""
    grid = np.linspace(0, spec.steps, 21).astype(int)
    if score is None:
        grid = grid[:6]
        train = start * np.exp(np.linspace(0, 5, 6))
        train[-1] = np.nan
        validation = train
    else:
        share = grid / spec.steps
        wobble = np.random.default_rng(spec.seed).normal(0, 0.03, (2, 21))
        wobble[:, [0, -1]] = 0
        fall = score + (start - score) * (np.exp(-5 * share) - share * np.exp(-5))
        validation = fall * np.exp(wobble[0])
        train = 0.8 * fall * np.exp(wobble[1])
    return Curve(
        steps=tuple(int(step) for step in grid),
        train=tuple(float(value) for value in train),
        validation=tuple(float(value) for value in validation),
    )


def run(
    plan: SyntheticPlan, score: Callable[[RunSpec], float | None]
) -> list[RunRecord]:
    """Records of all planned runs, scored by a function of the run."""
    return [record(spec, score(spec)) for spec in plan.specs()]


def replaced(
    records: Iterable[RunRecord],
    score: float | None,
    where: Callable[[RunSpec], bool],
) -> list[RunRecord]:
    """The same records with another score where the condition holds."""
    return [record(r.spec, score) if where(r.spec) else r for r in records]


class Noise:
    """Log-scores of a noisy bowl in log lr, by contender, lr and seed.

    The value of seed s is a shared seed effect (common random numbers), the contender's
    own mean, a parabola around the centre of its grid and independent noise.
    """

    def __init__(
        self,
        plan: SyntheticPlan,
        *,
        effects: dict[str, float] | None = None,
        spread: float = 0.02,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.plan = plan
        self.effects = effects or {}
        shape = (len(plan.tasks), len(plan.contenders), plan.points, len(plan.seeds))
        self.own = rng.normal(0, spread, shape)
        self.shared = rng.normal(0, 3 * spread, (len(plan.tasks), len(plan.seeds)))

    def __call__(self, spec: RunSpec) -> float:
        """The score of a run: positive, as a loss is."""
        task = [t.name for t in self.plan.tasks].index(spec.task)
        contender = self.plan.contenders.index(spec.contender)
        point = self.plan.lrs(spec.contender).index(spec.lr)
        seed = self.plan.seeds.index(spec.seed)
        off_centre = point - self.plan.points // 2
        return float(
            np.exp(
                self.effects.get(spec.contender, 0.0)
                + 0.05 * off_centre**2
                + self.shared[task, seed]
                + self.own[task, contender, point, seed]
            )
        )
