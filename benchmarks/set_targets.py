"""Sets the targets of tasks: `python benchmarks/set_targets.py targets.json [TASK]`.

SGD, Adam and AdamW are tuned with three times the learning rates of the quick tier:
fifteen, a quarter of a decade apart, on a seed that no comparison uses. The best of
them runs with twenty more such seeds. Their median score at three quarters of the steps
is the target: a target at the last step would be missed by half of the very runs that
set it. Their medians at the first and the last step are kept beside it. A task that
scores as well before its first step has no target.
"""

import json
import statistics
import sys
from pathlib import Path

import numpy as np
import torch

import mementum
from mementum.lab.planning import contender
from mementum.lab.planning.factorial import Grid
from mementum.lab.records.run import RunSpec, Status
from mementum.lab.running import loop, run_state
from mementum.lab.tasks.registry import of_tier
from mementum.lab.tasks.task import Task, Tier

TUNED = ("SGD", "Adam", "AdamW")
RATES = Grid(points=15, factor=10**0.25)
CHOICE, FIRST, SEEDS = 1000, 2000, 20
HOW = " ".join((__doc__ or "").split("\n\n")[1].split())


def curve(task: Task, name: str, lr: float, seed: int) -> list[float] | None:
    """Return the metric along a run, or None where it did not finish."""
    chosen = contender.find(name)
    spec = RunSpec(
        task=task.name,
        task_version=task.version,
        data=task.data(),
        contender=name,
        options=dict(chosen.options),
        lr=lr,
        seed=seed,
        steps=task.steps,
        versions={},
    )
    run = run_state.Progress()
    loop.train(run, spec, task)
    return run.validation if run.status is Status.FINISHED else None


def target(task: Task) -> dict[str, object]:
    """Return what is frozen for a task."""
    tried = {
        (name, lr): found[-1]
        for name in TUNED
        for lr in RATES.around(contender.find(name).lr)
        if (found := curve(task, name, lr, CHOICE)) is not None
    }
    name, lr = min(tried, key=lambda key: tried[key])
    seeds = range(FIRST, FIRST + (1 if task.deterministic else SEEDS))
    runs = [found for s in seeds if (found := curve(task, name, lr, s)) is not None]
    place = -(-3 * task.evaluations // 4)
    start, reached, best = (
        float(f"{statistics.median(run[at] for run in runs):.4g}")
        for at in (0, place, -1)
    )
    return {
        "version": task.version,
        "steps": task.steps,
        "data": task.data(),
        "target": reached if reached < start else None,
        "untrained": start,
        "best": best,
        "set_by": {
            "contender": name,
            "lr": lr,
            "finished": len(runs),
            "of": len(seeds),
        },
    }


def main() -> None:
    """Set the targets of the named tasks, or of the whole quick tier, in the file."""
    torch.set_num_threads(1)
    path, names = Path(sys.argv[1]), sys.argv[2:]
    kept = json.loads(path.read_text()) if path.exists() else {}
    found = kept.get("tasks", {})
    for task in of_tier(Tier.QUICK):
        if not names or task.name in names:
            found[task.name] = target(task)
            print(task.name, found[task.name], flush=True)
            kept |= {"format": 1, "how": HOW, "versions": versions(), "tasks": found}
            path.write_text(json.dumps(kept, indent=1) + "\n")


def versions() -> dict[str, str]:
    """Return the software that the targets are set with."""
    return {
        "mementum": mementum.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    main()
