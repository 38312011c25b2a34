"""Tasks: what is trained, on which data, and how it is scored."""

__all__ = [
    "analytic",
    "claimed",
    "data",
    "entry_points",
    "linear",
    "networks",
    "own",
    "registry",
    "sampling",
    "targets",
    "task",
]
