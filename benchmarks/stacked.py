"""What a run costs by itself and as a row of a stack, by task.

    python benchmarks/stacked.py [--rows N] [--tier quick] [--task own.py] [names]

One thread, CPU time of whole runs with all evaluations. The rows are contenders and
rates of the quick tier's kind, four to a seed. A task's form, as it stands in its file,
is the faster one here; run it on a machine that does nothing else.
"""

import argparse
import time
from pathlib import Path

import torch

from mementum.lab.planning.contender import find
from mementum.lab.planning.factorial import Grid, factorial
from mementum.lab.records.run import SINGLE, STACKED, RunSpec
from mementum.lab.running.loop import execute_parcel, warm_up
from mementum.lab.running.rehearsal.process import rehearsed
from mementum.lab.running.versions import versions
from mementum.lab.tasks import registry
from mementum.lab.tasks.task import Task, Tier

WHO = ["AdamW", "AdamNX", "AdaXW", "AMSGrad"]


def specs(task: Task, rows: int) -> list[RunSpec]:
    plan = factorial(
        tasks=[task],
        contenders=[find(name) for name in WHO],
        seeds=range(1 if task.deterministic else -(-rows // len(WHO))),
        grid=Grid(points=-(-rows // len(WHO)) | 1 if task.deterministic else 1),
        reference="AdamW",
        versions=versions(),
    )
    return sorted(plan.runs[:rows], key=lambda spec: spec.seed)


def cost(runs: list[RunSpec]) -> float:
    """CPU-ms a run."""
    began = time.process_time()
    for record in execute_parcel(runs):
        assert record.error is None, record.error
    return 1e3 * (time.process_time() - began) / len(runs)


def of_form(runs: list[RunSpec], form: str) -> list[RunSpec]:
    return [RunSpec(**{**vars(each), "form": form}) for each in runs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--tier", default="quick", choices=[*Tier])
    parser.add_argument("--task", type=Path, action="append", default=[])
    args = parser.parse_args()
    torch.set_num_threads(1)
    warm_up()
    tasks = rehearsed([path.resolve() for path in args.task], [find("AdamW")])
    if args.names or not tasks:
        sized = registry.of_tier(Tier(args.tier))
        tasks += [task for task in sized if task.name in args.names or not args.names]
    print(f"{'task':22} {'single':>8} {'stacked':>8}  CPU-ms a run, {args.rows} rows")
    for task in tasks:
        whole = registry.find(task.name, task.steps)
        if whole.stack is None:
            continue
        runs = specs(task, args.rows)
        cost(of_form(runs[:1], SINGLE))  # what is loaded once
        single = min(cost(of_form(runs[:1], SINGLE)) for _ in range(2))
        cost(of_form(runs[:2], STACKED))
        stacked = cost(of_form(runs, STACKED))
        gain = single / stacked
        print(f"{task.name:22} {single:8.1f} {stacked:8.1f}  x{gain:.1f} {task.form}")


if __name__ == "__main__":
    main()
