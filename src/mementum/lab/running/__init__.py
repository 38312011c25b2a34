"""Runs are carried out here: the training loop, what surrounds it, and where."""

__all__ = [
    "closure",
    "driver",
    "executors",
    "loop",
    "modifiers",
    "optimizer_controls",
    "own_optimizer",
    "probes",
    "run_state",
    "sharpness",
    "snapshot",
    "versions",
]
