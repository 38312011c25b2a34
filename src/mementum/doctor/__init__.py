"""What of mementum works here, what does not, what that costs, and the way out."""

__all__ = [
    "command",
    "examination",
    "installation",
    "jax_side",
    "page",
    "surroundings",
    "timing",
    "torch_build",
    "torch_side",
]
