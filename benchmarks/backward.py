"""The most memory that training takes, with steps after and in the backward pass.

Each way runs in a process of its own, whose largest resident size the system counts.

    python benchmarks/backward.py
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import torch

from mementum import AdaXW, step_in_backward

LAYERS, WIDTH, ROWS, STEPS = 32, 1024, 8, 4
WAYS = ("ordinary", "in backward")


def largest() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def train(way: str) -> int:
    """Train one way, and return how much the process grew."""
    torch.manual_seed(0)
    torch.nn.Linear(2, 2)(torch.ones(1, 2)).sum().backward()
    before = largest()
    layers = [torch.nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)]
    model = torch.nn.Sequential(*layers)
    if way == "ordinary":
        optimizer = AdaXW(model.named_parameters(), lr=1e-3)
    else:
        optimizer = step_in_backward(model, lambda p: AdaXW(p, lr=1e-3)).optimizer
    for _ in range(STEPS):
        model(torch.ones(ROWS, WIDTH)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return largest() - before


def main() -> None:
    """Print the table, or in a process of its own one number."""
    if len(sys.argv) > 1:
        print(train(sys.argv[1]))
        return
    weights = LAYERS * (WIDTH + 1) * WIDTH * 4
    print(f"weights {weights / 2**20:.0f} MiB, moments {2 * weights / 2**20:.0f} MiB")
    for way in WAYS:
        command = [sys.executable, __file__, way]
        # Freed arrays go back to the system at once, and not into glibc's heap, whose
        # holes an aligned array of the same size does not fit.
        env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=env
        )
        print(f"{way:>12}: grew by {int(done.stdout) / 2**20:.0f} MiB at most")


if __name__ == "__main__":
    main()
