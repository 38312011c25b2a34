"""Two stages: a pilot chooses rates, and fresh seeds judge them, look by look."""

__all__ = ["looks", "noise", "pilot"]
