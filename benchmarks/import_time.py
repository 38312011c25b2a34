"""What importing an optimizer costs beside importing torch, in seconds of the CPU.

Each import runs in a fresh process, in alternation, and the median of five is printed.

    python benchmarks/import_time.py
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

IMPORTS = ("import torch", "from mementum import AdamW")
ROUNDS = 5


def cpu_seconds(statement: str) -> float:
    """Return what a process costs that runs nothing else."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print the medians and their ratio."""
    for statement in IMPORTS:  # The first import compiles.
        cpu_seconds(statement)
    rounds = [tuple(map(cpu_seconds, IMPORTS)) for _ in range(ROUNDS)]
    medians = list(map(statistics.median, zip(*rounds, strict=True)))
    for statement, median in zip(IMPORTS, medians, strict=True):
        print(f"{statement:<26}{median:6.2f}")
    print(f"{'ratio':<26}{medians[1] / medians[0]:6.2f}")


if __name__ == "__main__":
    main()
