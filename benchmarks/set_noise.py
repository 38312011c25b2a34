"""Keeps the noise cards of the lab's tasks: `python benchmarks/set_noise.py FOLDER`.

FOLDER is that of a comparison. For each of its tasks of the lab with chance in it, the
standard deviation of a paired difference on the task's scale, the median over
contenders, and the seeds that follow from it are put into the file of targets, where
`mementum tasks` finds them. Cards of other tasks stay.
"""

import json
import sys
from pathlib import Path

from mementum import lab
from mementum.lab.tasks import registry, targets


def main() -> None:
    found = lab.read(sys.argv[1])
    path = Path(targets.__file__).with_name("targets.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    specs = {spec.task_label: spec for spec in found.plan.runs}
    known = {task.name for task in registry.TASKS}
    for task in found.analysis.tasks:
        spec = specs[task.name]
        if task.noise is None or spec.task not in known:
            continue
        content.setdefault("noise", {})[task.name] = {
            "version": spec.task_version,
            "steps": spec.steps,
            "spread": float(f"{task.noise.spread:.3g}"),
            "effect": task.noise.effect,
            "equal": task.noise.equal,
            "ranks": task.ranked,
        }
    content["noise"] = dict(sorted(content["noise"].items()))
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
