"""A step of a run: where it is taken, its gradient, and what an optimizer asks for."""

__all__ = ["closure", "device", "kernel", "own_optimizer", "placement"]
