"""Tasks: what is trained, on which data, and how it is scored."""

__all__ = [
    "analytic",
    "claimed",
    "data",
    "entry_points",
    "linear",
    "model_at_hand",
    "networks",
    "registry",
    "sampling",
    "targets",
    "task",
    "user_file",
]
