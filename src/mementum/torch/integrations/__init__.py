"""What other libraries and other loops need of the optimizers."""

__all__ = ["step_in_backward", "timm", "zero_redundancy"]
