"""A step of a run: its gradient, and what an optimizer of the user's own asks for."""

__all__ = ["closure", "kernel", "own_optimizer"]
