"""Time whole runs of the lab on the CPU and on a GPU, and compare their scores.

Run ``python benchmarks/on_gpu_lab.py --json figures.json`` where mementum is installed
with the extra lab. Each task is trained with AdamW on one thread of the CPU and then on
the device, a run at a time: one to begin with, then others for some seconds. It prints
runs a second, milliseconds a step, and how far the scores of a seed are apart. With
``--tiny`` it tries all that without a GPU, on small tasks.

The exit code is 0 if every run finishes, 1 if not, and 2 without the device.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from mementum import lab
from mementum.lab.errors import LabError
from mementum.lab.records.run import RunRecord, RunSpec, Status
from mementum.lab.running.loop import execute, warm_up
from mementum.lab.running.stepping.device import chosen, current
from mementum.lab.running.versions import environment
from mementum.lab.tasks import registry
from mementum.lab.tasks.task import Tier

TASKS = ("fashion-mlp", "fashion-conv", "text-kjv", "lm-bytes", "lm-lstm", "mlp-digits")
TINY = ("mlp-digits", "lm-lstm")
SECONDS, TINY_SECONDS = 20.0, 0.0
# A run that is sampled less often than this says nothing of its spread.
LEAST, MOST = 3, 100


def main() -> int:
    """Print a line for each task on each device; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or xpu")
    parser.add_argument("--tasks", metavar="NAMES", help="comma-separated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it")
    parser.add_argument("--tiny", action="store_true", help="try it without a GPU")
    args = parser.parse_args()
    tier = Tier.SMOKE if args.tiny else Tier.QUICK
    seconds = TINY_SECONDS if args.tiny else SECONDS
    known = {task.name for task in registry.of_tier(tier)}
    names = args.tasks.split(",") if args.tasks else (TINY if args.tiny else TASKS)
    try:
        device = chosen("cpu" if args.tiny else args.device)
        device.cards()
        plans = {
            name: [specs(name, tier, kind) for kind in ("cpu", device.kind)]
            for name in names
            if args.tasks or name in known
        }
    except LabError as error:
        print(f"on_gpu_lab: {error} --tiny tries it without.", file=sys.stderr)
        return 2
    warm_up()
    found: dict[str, Any] = {"tasks": {}}
    print(
        f"{'task':14}{'device':8}{'runs/s':>9}{'ms/step':>9}{'score':>12}{'apart':>10}"
    )
    with current(device):
        found["machine"] = environment(device.kind)
        for name, sides in plans.items():
            found["tasks"][name] = compared(name, sides, seconds)
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    rows = [row for sides in found["tasks"].values() for row in sides]
    return 0 if rows and all(row["finished"] for row in rows) else 1


def specs(name: str, tier: Tier, kind: str) -> list[RunSpec]:
    """The runs of a task on a kind of device, a seed each."""
    chosen = {"tasks": [name], "contenders": ["AdamW"], "lrs": 1, "seeds": MOST}
    return [*lab.plan(tier=tier, device=kind, trials=0, **chosen).runs]


def compared(name: str, sides: list[list[RunSpec]], seconds: float) -> list[Any]:
    """Time a task on both sides, and say how far their scores are apart."""
    rows, first = list[Any](), list[RunRecord]()
    for runs in sides:
        records = timed(runs, seconds)
        first = first or records
        pairs = zip(first, records, strict=False)
        apart = [abs(b.score / a.score - 1) for a, b in pairs if a.score and b.score]
        took = statistics.median(record.seconds for record in records)
        row = {
            "device": runs[0].device,
            "runs": len(records),
            "seconds": took,
            "milliseconds a step": 1e3 * took / runs[0].steps,
            "score": records[0].score,
            "apart": max(apart, default=None),
            "finished": all(each.status is Status.FINISHED for each in records),
            "errors": sorted({each.error for each in records if each.error}),
        }
        rows.append(row)
        print(
            f"{name:14}{row['device']:8}{1 / took:9.2f}"
            f"{row['milliseconds a step']:9.3f}{row['score'] or 'none':>12.5}"
            f"{row['apart'] if apart else 'none':>10.2}",
            *row["errors"],
            flush=True,
        )
    return rows


def timed(runs: list[RunSpec], seconds: float) -> list[RunRecord]:
    """Carry runs out for so long, after one that nobody times."""
    execute(runs[0])
    records, began = list[RunRecord](), time.monotonic()
    for spec in runs:
        if len(records) >= LEAST and time.monotonic() - began > seconds:
            break
        records.append(execute(spec))
    return records


if __name__ == "__main__":
    sys.exit(main())
