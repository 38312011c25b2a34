"""Time a step of ours beside the nearest classes of pytorch_optimizer.

Run `python benchmarks/peers.py`, with `--quick` for fewer rounds, where the package
pytorch-optimizer is installed beside mementum. Neither depends on the other.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Any, NamedTuple

import torch

import mementum
from mementum.bench.case import CASES, Case
from mementum.bench.clock import alternate, ratio, spread

NAMES = ("16m", "300x1000", "resnet18")
BUDGET, QUICK_BUDGET = 3.0, 0.3


class Pair(NamedTuple):
    """One of our classes and the peer that computes most nearly the same."""

    ours: str
    options: dict[str, Any]
    peer: str
    peer_options: dict[str, Any]
    note: str


PAIRS = (
    Pair("AdamW", {}, "AdamC", {"weight_decay": 1e-2}, "another schedule of decay"),
    Pair("AdamW", {}, "StableAdamW", {"kahan_sum": False}, "clips the step"),
    Pair("AMSGrad", {}, "AdamC", {"ams_bound": True}, "torch's variant"),
    Pair(
        "Mementum",
        {"memory": 0.999, "square_of": "residual"},
        "AdaBelief",
        {},
        "eps in every sample",
    ),
)


def main() -> int:
    """Print a line for each pair on each case; return 0, or 2 without the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    budget = QUICK_BUDGET if parser.parse_args().quick else BUDGET
    try:
        peers = importlib.import_module("pytorch_optimizer")
    except ModuleNotFoundError:
        print(
            "pytorch_optimizer is not here: pip install pytorch-optimizer",
            file=sys.stderr,
        )
        return 2
    print(f"threads: {torch.get_num_threads()}, times in us/step, medians")
    for name in NAMES:
        print(
            f"\n{name}: {CASES[name].summary}\n  {'ours':<10}{'peer':<13}"
            f"{'ours':>11}{'peer':>12}{'ratio':>8}{'95 %':>12}"
        )
        for pair in PAIRS:
            print(_line(CASES[name], pair, peers, budget), flush=True)
    notes = "; ".join(f"{pair.peer}: {pair.note}" for pair in PAIRS)
    print(f"\nHow the peers differ: {notes}.")
    return 0


def _line(case: Case, pair: Pair, peers: Any, budget: float) -> str:
    gradients = case.gradients()
    ours = getattr(mementum, pair.ours)(case.parameters(gradients), **pair.options)
    peer = getattr(peers, pair.peer)(case.parameters(gradients), **pair.peer_options)
    times = alternate([ours.step, peer.step], budget)
    own, other = (spread(each).median * 1e6 for each in times)
    of_peer = ratio(*times)
    interval = f"{of_peer.low:.2f}-{of_peer.high:.2f}"
    return (
        f"  {pair.ours:<10}{pair.peer:<13}{own:>11,.0f}{other:>12,.0f}"
        f"{of_peer.median:>8.2f}{interval:>12}"
    )


if __name__ == "__main__":
    sys.exit(main())
