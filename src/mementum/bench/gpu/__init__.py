"""How long a step takes on a GPU, in each format, beside torch's and a copy.

Nothing here needs the lab's extra, or a compiled kernel. The CPU can stand in for a
GPU, so that the measurement can be tried without one.
"""

__all__ = ["device", "run", "table"]
