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
    "rehearsal",
    "rehearsal_process",
    "run_state",
    "sharpness",
    "snapshot",
    "versions",
]
