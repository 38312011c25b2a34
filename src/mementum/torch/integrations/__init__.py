"""What other libraries and other loops need of the optimizers."""

__all__ = [
    "huggingface",
    "lightning",
    "step_in_backward",
    "timm",
    "zero_redundancy",
]
