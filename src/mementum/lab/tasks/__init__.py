"""Tasks: what is trained, on which data, and how it is scored."""

__all__ = [
    "analytic",
    "claimed",
    "data",
    "linear",
    "networks",
    "own",
    "problem",
    "registry",
    "sampling",
    "stacks",
    "targets",
    "task",
]
