"""Runs are carried out here: the training loop, what surrounds it, and where."""

__all__ = [
    "driver",
    "executors",
    "loop",
    "modifiers",
    "optimizer_controls",
    "probes",
    "rehearsal",
    "run_state",
    "sharpness",
    "snapshot",
    "stepping",
    "versions",
]
